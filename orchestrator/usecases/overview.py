"""The overview for operators: status, health, why entries wait, and the links to their runs.

The command line and the HTTP API both read it here. It also works with less than everything: with no complete
settings, and without asking Databricks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.core import health, run_requests
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.durations import HELD_SECONDS, LEAST_EXCESS_SECONDS
from orchestrator.core.errors import ListIncomplete, OrchestratorError, SettingsError
from orchestrator.core.health import Troubled
from orchestrator.core.models import Entry, JobKey, JobLimit, LastPass
from orchestrator.core.reports import (
    Active,
    Health,
    Known,
    PassStatus,
    Period,
    Silence,
    StatusReport,
    TimedEntry,
    WorkspaceReport,
    WorkspaceStatus,
)
from orchestrator.core.slots import NO_OBSTACLES, Obstacles, job_rooms, limited
from orchestrator.core.waiting import Reason, Slots, Waiting, explain
from orchestrator.ports import Clock, PassLog, Reports, Runs
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.listing import ActiveList, list_active
from orchestrator.usecases.standstill import silences
from orchestrator.usecases.timer_pass import OK, TIMER_FUNCTIONS

#: An entry that could be claimed while slots are free, and is not for this long, means that something is
#: wrong. Never sooner than a timer function counts as late.
_OVERDUE_SECONDS = 300.0

#: Longest wait for Databricks' active runs: the overview is then shown without them.
_ASK_SECONDS = 5.0

#: How long the active runs are kept: dashboards ask every few seconds, and Databricks limits how often runs
#: are listed.
_KEEP_SECONDS = 10.0

#: How old a list of the trigger may be that is shown in place of an incomplete one.
_KNOWN_SECONDS = 300.0

#: RUNNING entries compared with the usual time of their table, the longest first.
_LONG_RUNS = 50

#: Why only the store can be asked.
_INCOMPLETE = "the settings are incomplete or wrong (python -m orchestrator check)"

#: Returns the time by the database's clock.
_Now = Callable[[], Awaitable[datetime]]

_NO_SUCH_WORKSPACE = Active(error="not in the settings")


class ActiveRuns:
    """Lists the active runs of each workspace, and keeps the list or the error for a short time.

    :param known: the lists of the trigger's passes in this process, shown when a new one takes longer than a
        reader can wait.
    """

    def __init__(
        self, runs: Mapping[str, Runs], clock: Clock, known: Mapping[str, ActiveList] | None = None
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._known = {} if known is None else known
        self._locks = {name: asyncio.Lock() for name in runs}
        #: by workspace, with the time at which it expires
        self._kept: dict[str, tuple[float, Active]] = {}

    async def of(self, workspaces: Collection[str], now: _Now) -> dict[str, Active]:
        """Return the active runs of these workspaces, listed concurrently."""
        found = await asyncio.gather(*(self._one(name, now) for name in workspaces))
        return dict(zip(workspaces, found, strict=True))

    async def _one(self, workspace: str, now: _Now) -> Active:
        if workspace not in self._runs:
            return _NO_SUCH_WORKSPACE
        async with self._locks[workspace]:
            until, active = self._kept.get(workspace, (0.0, Active()))
            if workspace not in self._kept or self._clock.monotonic() >= until:
                active = await self._ask(workspace, now)
                self._kept[workspace] = (self._clock.monotonic() + _KEEP_SECONDS, active)
            return active

    async def _ask(self, workspace: str, now: _Now) -> Active:
        before, asked = await now(), self._clock.monotonic()
        found = await list_active(self._runs[workspace], self._clock, seconds=_ASK_SECONDS)
        listed = Period(begin=before, end=await now())
        if isinstance(found.error, ListIncomplete):
            known = self._known.get(workspace)
            if known is not None and self._clock.monotonic() - known.ended <= _KNOWN_SECONDS:
                found = known
                listed = Period(
                    begin=before - timedelta(seconds=asked - known.began),
                    end=before - timedelta(seconds=asked - known.ended),
                )
        error = None if found.error is None else str(found.error)
        return Active(runs=found.runs, error=error, listed=listed)


class Overview:
    """Reads the state of everything. Unless stated otherwise, methods may raise :class:`StoreError`.

    :param check_schema: raises if the database does not have this version's tables.
    :param known: what the settings say; None = they are incomplete, and only the store can be read.
    :param active: lists the active runs; None = Databricks is not asked.
    :param jobs: looks up the jobs that waiting entries name; None = their limits are not known.
    :param trouble: returns why the store is not there at the moment; None = it is, or nobody knows yet.
    """

    def __init__(
        self,
        *,
        reports: Reports,
        pass_log: PassLog,
        check_schema: Callable[[], Awaitable[object]],
        schema_version: int,
        known: Known | None,
        active: ActiveRuns | None,
        jobs: Jobs | None = None,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._reports = reports
        self._pass_log = pass_log
        self._check_schema = check_schema
        self._schema_version = schema_version
        self._known = known
        self._active = active
        self._jobs = jobs
        self._trouble = trouble
        self._workspaces = {workspace.name: workspace for workspace in known.workspaces} if known else {}

    async def status(self) -> StatusReport:
        """Return the state of all workspaces and of the timer functions' last passes."""
        workspaces = await self._look()
        passes = await self._last_passes()
        now = await self._pass_log.now()
        return StatusReport(
            schema_version=self._schema_version,
            workspaces=workspaces,
            passes=[
                PassStatus(name=name, last=last, late=self._is_late(last, now))
                for name, last in passes.items()
            ],
            now=now,
        )

    async def health(self, *, seconds: float | None = None) -> Health:
        """Find out whether the app does its work. A store that cannot be read is a reason, not an error.

        :param seconds: what is found by then is returned, and that it is not everything; None = no limit.
        """
        if self._known is None:
            return Health(unknown=f"whether the app does its work is not known: {_INCOMPLETE}")
        reasons: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                await self._find_reasons(self._known, reasons)
        except OrchestratorError as error:
            reasons.append(str(error))
        except TimeoutError:
            reasons.append(health.unanswered(seconds, self._trouble()))
        if self._active is None:
            return Health(
                reasons=reasons, unknown="whether entries wait for no reason is not known: --offline"
            )
        return Health(reasons=reasons)

    async def waiting(self, workspace: str | None, limit: int) -> list[Waiting]:
        """Return at most `limit` waiting entries, in the order of the claim, and why each waits.

        :param workspace: None = all; each gets an equal share of `limit`, so that none hides another.
        :raises SettingsError: the settings are incomplete, so nobody knows the rules.
        """
        if self._known is None:
            raise SettingsError([_INCOMPLETE])
        names = [each.name for each in await self._reports.status() if workspace in {None, each.name}]
        share = max(1, limit // max(1, len(names)))
        found: list[Waiting] = []
        for status in await self._look(names[:limit]):
            if await self._elsewhere(status.report.name) is not None:
                candidates = await self._reports.candidates(status.report.name, share)
                found += [
                    Waiting(entry=each.entry, reason=Reason.ELSEWHERE) for each in candidates.candidates
                ]
            else:
                slots = replace(await self._slots(status), tries=await self._tries(status.report.name))
                held = slots.obstacles.held_tables
                candidates = await self._reports.candidates(status.report.name, share, held)
                found += explain(candidates, slots, self._known.policy)
        return found

    async def _tries(self, name: str) -> dict[JobKey, int]:
        """Return of each job that is refused, and not for its entries' fault, how many of them may try."""
        known = self._workspaces.get(name)
        if known is None:
            return {}
        return await self._reports.tries(name, setting=known.setting, address=known.address)

    async def _elsewhere(self, name: str) -> Elsewhere | None:
        """Return what a workspace of the settings has open at another address, so that it is left alone."""
        known = self._workspaces.get(name)
        return None if known is None else await self._reports.elsewhere(name, known.address)

    def run_page(self, entry: Entry) -> str | None:
        """Return the page of an entry's current run; None if there is no run, or its place is not known.

        The place is the workspace's address and the job's id.

        It is formed like ``run_page_url`` of ``runs/get``:
        https://docs.databricks.com/api/workspace/jobs/getrun
        """
        workspace = self._workspaces.get(entry.workspace)
        if workspace is None or entry.runid is None:
            return None
        job_id = (
            entry.job_id
            or run_requests.requested_job_id(entry)
            or (None if entry.job_name else workspace.job_id)
        )
        address = entry.workspace_address or workspace.address
        place = address if "/?o=" in address else f"{address}/"
        return f"{place}#job/{job_id}/run/{entry.runid}" if job_id is not None else None

    async def _look(self, wanted: Collection[str] | None = None) -> list[WorkspaceStatus]:
        """Return the state of workspaces; None = those of the settings and all others that have entries.

        The entries are read after the active runs were listed, with what has become of them since then: a run
        of theirs is never taken for a foreign one.
        """
        names = self._workspaces if wanted is None else wanted
        active = await self._active.of(names, self._pass_log.now) if self._active is not None else {}
        listed = _period([each.listed for each in active.values() if each.listed is not None])
        reports = {report.name: report for report in await self._reports.status(listed=listed)}
        shown = sorted({*names, *reports}) if wanted is None else names
        return [
            self._status_of(reports.get(name) or WorkspaceReport(name=name), active.get(name))
            for name in shown
        ]

    def _status_of(self, report: WorkspaceReport, active: Active | None) -> WorkspaceStatus:
        workspace = self._workspaces.get(report.name)
        return WorkspaceStatus(
            report=report,
            cap=workspace.cap if workspace else None,
            active=active or self._not_listed(),
            job_id=workspace.job_id if workspace else None,
        )

    def _not_listed(self) -> Active:
        """Say why the active runs of a workspace were not asked for."""
        if self._active is not None:
            return _NO_SUCH_WORKSPACE
        return Active(error="not asked for" if self._known else _INCOMPLETE)

    async def _slots(self, status: WorkspaceStatus) -> Slots:
        """Return a workspace's slots; unknown if Databricks is not asked or the settings do not name it."""
        if status.cap is None:  # the settings are there, or nobody would ask
            return Slots(known=False)
        if self._active is None:
            return Slots()
        # A part of the active runs may be known, and enough to know that they take all slots.
        reachable = status.active.error is None or status.free == 0
        obstacles = await self._obstacles(status) if status.active.error is None else NO_OBSTACLES
        return Slots(free=status.free, reachable=reachable, obstacles=obstacles)

    async def _obstacles(self, status: WorkspaceStatus) -> Obstacles:
        """Return what keeps entries from being claimed although their workspace has free slots."""
        name, foreign = status.report.name, status.foreign_runs
        address = self._workspaces[name].address
        found = await self._reports.obstacles(name, foreign, address=address)
        waiting = {use.key for use in await self._reports.waiting_jobs(name)}
        limits: dict[JobKey, JobLimit] = {}
        if self._jobs is not None:
            keys = waiting | set(status.report.in_flight_jobs)
            limits = await self._jobs.limits(name, keys, seconds=_ASK_SECONDS)
        rooms = job_rooms(status.report.in_flight_jobs, foreign, limits)
        return replace(found, rooms={key: room for key, room in rooms.items() if key in waiting})

    async def _last_passes(self) -> dict[str, LastPass | None]:
        last = {last_pass.name: last_pass for last_pass in await self._pass_log.passes()}
        return {name: last.get(name) for name in TIMER_FUNCTIONS}

    def _is_late(self, last: LastPass | None, now: datetime) -> bool:
        return self._known is not None and health.is_late(last, now, self._known.pass_late_seconds)

    async def _find_reasons(self, known: Known, found: list[str]) -> None:
        """Add to ``found`` why the app does not do its work, one line each."""
        found += map(health.unresolved, known.unresolved)  # first: no outage of the store hides them
        await self._check_schema()
        passes, now = await self._last_passes(), await self._pass_log.now()
        found += [
            reason
            for name, last in passes.items()
            if (reason := health.lateness(name, last, now, known.pass_late_seconds, _outcome(last)))
        ]
        silent = {each.workspace: each for each in await self._silences(passes["trigger"], now)}
        refused = {name: each for name in self._workspaces if (each := await self._elsewhere(name))}
        found += map(health.elsewhere, refused.values())
        found += [
            reason for last in passes.values() if last and (reason := health.troubled_passes(last, now))
        ]
        found += map(health.silent, silent.values())
        found += health.unknown_workspaces(await self._reports.open_workspaces(), self._workspaces, now)
        reports = await self._reports.status() if self._active else []
        # Why nothing is claimed there is said already.
        told = silent.keys() | refused.keys()
        found += await self._overdue(known, reports, passes["trigger"], told)
        found += map(health.troubled, await self._troubled(known))
        found += health.ownerless(await self._reports.ownerless_runs())
        if self._active:
            found += await self._unfollowed(known, reports, silent)
        found += await self._long_runs()

    async def _silences(self, trigger: LastPass | None, now: datetime) -> list[Silence]:
        """Return the workspaces of the settings that do not answer; none while no pass asks them."""
        if self._is_late(trigger, now):
            return []
        return await silences(self._reports, self._workspaces)

    async def _troubled(self, known: Known) -> list[Troubled]:
        """Return what is wrong with entries that the app cannot bring on by itself."""
        leases = 2 * known.policy.submit_lease_seconds
        found = await self._reports.troubled(queued_seconds=leases)
        for name, workspace in self._workspaces.items():
            found += await self._reports.refused(name, setting=workspace.setting, address=workspace.address)
        if known.policy.serialize_tables:
            found += await self._reports.held_by_running()
        return found

    async def _unfollowed(
        self, known: Known, reports: Sequence[WorkspaceReport], silent: Collection[str]
    ) -> list[str]:
        """Return which active runs of no entry in flight keep tables busy that nobody looks after.

        The active runs are listed only where entries have ended in doubt, or wait for hours.

        :param silent: workspaces that do not list them.
        """
        names = await self._reports.left_open()
        if known.policy.serialize_tables:
            names |= {
                report.name for report in reports if (report.oldest_waiting_seconds or 0.0) > HELD_SECONDS
            }
        reasons: list[str] = []
        looked_at = sorted(names & self._workspaces.keys() - silent)
        for status in await self._look(looked_at) if looked_at else ():
            address = self._workspaces[status.report.name].address
            found = await self._reports.obstacles(status.report.name, status.foreign_runs, address=address)
            if left_alone := [each for each in found.possible if each.is_left_alone]:
                reasons.append(health.in_doubt(left_alone))
            if known.policy.serialize_tables:
                held = await self._reports.held_by_alive(status.report.name, found)
                reasons += map(health.troubled, held)
        return reasons

    async def _long_runs(self) -> list[str]:
        """Return the workspaces with runs that take far longer than usual."""
        found: dict[str, list[TimedEntry]] = defaultdict(list)
        for run in await self._reports.long_runs(seconds=LEAST_EXCESS_SECONDS, limit=_LONG_RUNS):
            if run.overdue:
                found[run.entry.workspace].append(run)
        return [health.long_runs(runs) for _, runs in sorted(found.items())]

    async def _overdue(
        self,
        known: Known,
        reports: Sequence[WorkspaceReport],
        trigger: LastPass | None,
        explained: Collection[str],
    ) -> list[str]:
        """Return why entries of which workspaces wait for long, if it is not for the app's own runs.

        :param explained: workspaces of which it is known why nothing is claimed there.
        """
        waiting = [
            report.name
            for report in reports
            if report.name in self._workspaces.keys() - explained
            and (report.oldest_waiting_seconds or 0.0) > _OVERDUE_SECONDS
        ]
        overdue = [name for name in waiting if await self._is_overdue(name, known, NO_OBSTACLES)]
        reasons: list[str] = []
        for status in await self._look(overdue) if overdue else ():
            reasons += await self._why_overdue(status, known, _outcome(trigger))
        return reasons

    async def _why_overdue(self, status: WorkspaceStatus, known: Known, outcome: str) -> list[str]:
        """Say why a workspace's entries wait for long; nothing if it is for the app's own runs.

        :param outcome: of the last trigger pass, if something was wrong.
        """
        name = status.report.name
        if status.active.error is not None and not (status.active.runs and status.free == 0):
            return [health.unlisted(name, status.active.error, outcome)]
        if not status.free:
            # As many slots as the entries' own or more: fewer are other people's usual share.
            too_many = status.foreign >= max(1, status.report.in_flight)
            return [health.foreign_runs(status)] if too_many else []
        obstacles = await self._obstacles(status)
        reasons = [
            health.full_job(name, room)
            for room in {room.job_id: room for room in obstacles.rooms.values()}.values()
            if room.free == 0 and room.ours == 0
        ]
        if await self._is_overdue(name, known, obstacles):
            reasons.append(health.wait_for_nothing(name, outcome))
        return reasons

    async def _is_overdue(self, workspace: str, known: Known, obstacles: Obstacles) -> bool:
        refused = dict.fromkeys(await self._tries(workspace), 0)
        return await self._reports.is_overdue(
            workspace,
            seconds=max(_OVERDUE_SECONDS, known.pass_late_seconds),
            max_attempts=known.policy.max_attempts,
            serialize_tables=known.policy.serialize_tables,
            obstacles=replace(obstacles, rooms=limited(obstacles.rooms, refused)),
        )


def _period(listed: Sequence[Period]) -> Period | None:
    """Return the time in which all lists were made; None = there are none."""
    if not listed:
        return None
    return Period(begin=min(each.begin for each in listed), end=max(each.end for each in listed))


def _outcome(last: LastPass | None) -> str:
    if last is None or last.outcome in {OK, None}:
        return ""
    return f"; the last pass: {last.outcome}"
