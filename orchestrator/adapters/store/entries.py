"""The entries and their transitions: each change of state is one short transaction of named SQL."""

import functools
import json
import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from orchestrator.adapters.store.holds import holds_of, tries_of
from orchestrator.adapters.store.obstacles import obstacles_of
from orchestrator.adapters.store.open_submissions import keep_open, put_back
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import (
    NO_LIMIT,
    cut,
    cut_name,
    log_values,
    milliseconds,
    read_claim,
    read_entry,
    read_job_key,
    read_log_row,
    read_stray,
    read_time,
    rooms_json,
)
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.workspaces import elsewhere_of, open_workspaces_of
from orchestrator.core import doubts
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.decisions import LONGEST_WAIT_SECONDS, POSTPONE_SECONDS
from orchestrator.core.doubts import Doubt, Heard
from orchestrator.core.errors import RunTaken, StoreError, StoreUnavailable
from orchestrator.core.models import (
    ActiveRun,
    Claim,
    EndedRun,
    Entry,
    JobKey,
    JobLimit,
    LogRow,
    StopReason,
    StrayRun,
    TakenUp,
    Unanswered,
    Verdict,
)
from orchestrator.core.refused_jobs import Hold
from orchestrator.core.reports import OpenWorkspace
from orchestrator.core.slots import job_rooms, limited
from orchestrator.core.states import Status

#: All claims in a database take this one lock, whatever the workspace: a claim takes milliseconds.
_CLAIM_LOCK = "databricks-job-orchestrator/claim"

#: Keeps two passes from both inserting the first silence of a workspace.
_SILENCE_LOCK = "databricks-job-orchestrator/silence"

#: A clock that is set right goes back by less than this, in seconds, and ends no lease.
_CLOCK_MARGIN = 60.0

#: For ``last_error``, if there is none.
_UNCLAIMABLE = "no attempts are left, or no further submission: retry the entry to run it again"

#: Log rows of an entry that are read at once, the latest ones.
_MAX_LOGS = 100

#: Calls after which a run may exist.
_DOUBTFUL = {Unanswered.OUTAGE, Unanswered.ENTRY}

#: Calls that are not the entry's own fault.
_NOT_COUNTED = {Unanswered.NO_EFFECT, Unanswered.OUTAGE}


class Store:
    """The rows of ``track_processing`` and their log.

    A change whose entry is no longer in the state that it starts from changes nothing and says so. Every
    method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    def __init__(self, pool: Pool) -> None:
        #: the connections, for everything else that reads and writes this database
        self.pool = pool

    async def claim(
        self,
        workspace: str,
        *,
        cap: int,
        active: Collection[ActiveRun],
        jobs: Mapping[JobKey, JobLimit],
        lease_seconds: float,
        max_attempts: int,
        serialize_tables: bool,
        setting: str = "",
        address: str = "",
    ) -> list[Claim]:
        """Claim as many waiting entries as the workspace and their jobs have free slots, by priority.

        Each entry in flight takes a slot, and so does each foreign run that is not queued or a child. The run
        of an entry that has just ended counts as foreign for one pass: that pass claims too few entries,
        never too many. An entry one of whose runs is active is not claimed, nor another one of its table,
        unless the entry has let go of the run. The same holds while a run is active that an entry in doubt
        may have begun; that entry itself may be claimed, since its token finds the run.
        While something is open at another address, only those entries are claimed whose calls were made here.

        While a job is refused for a reason that is not its entries' own, one of them at a time tries.

        :param jobs: the limits of the jobs that open entries name; a job that is missing has none.
        :param setting: the workspace's own job (:func:`~orchestrator.core.refused_jobs.setting_of`).
        :param address: where the workspace is; empty = its addresses are not told apart.
        """

        def work(session: Session) -> list[Claim]:
            session.acquire_lock(_CLAIM_LOCK)
            is_elsewhere = elsewhere_of(session, workspace, address) is not None
            in_flight = session.rows("in_flight", workspace)
            ours = {row["runid"] for row in in_flight}
            foreign = [run for run in active if run.run_id not in ours]
            free = cap - len(in_flight) - sum(run.takes_slot for run in foreign)
            if free <= 0:
                return []
            obstacles = obstacles_of(session, workspace, foreign, address)
            tries = tries_of(session, workspace, setting, address, in_flight)
            found = session.rows(
                "claimable",
                rooms_json(limited(job_rooms(map(read_job_key, in_flight), foreign, jobs), tries)),
                workspace,
                max_attempts or NO_LIMIT,
                int(serialize_tables),
                json.dumps(sorted(obstacles.alive_entries)),
                json.dumps(sorted(obstacles.held_tables) if serialize_tables else []),
                json.dumps(sorted(obstacles.finders)),
                int(is_elsewhere),
                address,
                int(serialize_tables),
                free,
            )
            ids = [int(row["id"]) for row in found]
            if not ids:
                return []
            values = (max_attempts or NO_LIMIT, milliseconds(lease_seconds), json.dumps(sorted(ids)))
            claims = [read_claim(row) for row in session.rows("claim", *values)]
            return sorted(claims, key=lambda claim: ids.index(claim.entry_id))

        return await self.pool.transact(work, writes=True)

    async def note_silence(self, workspace: str, problem: str) -> None:
        """Count a pass that got no list of active runs from a workspace."""

        def work(session: Session) -> None:
            session.acquire_lock(_SILENCE_LOCK)
            if session.change("silence_goes_on", cut(problem), workspace) == 0:
                session.change("silence_begins", workspace, cut(problem))

        await self.pool.transact(work, writes=True)

    async def note_answer(self, workspace: str) -> None:
        """End a workspace's silence: it has listed its active runs. Without one, nothing is written."""
        if await self.pool.transact(lambda session: session.rows("is_silent", workspace), writes=False):
            await self.pool.transact(lambda session: session.change("silence_ends", workspace), writes=True)

    async def get(self, entry_id: int) -> Entry | None:
        """Return an entry with its parameters, or None.

        Of the other methods only :meth:`begin_submission` reads parameters.
        """
        return await self.pool.transact(lambda session: _entry_of(session, entry_id), writes=False)

    async def take_up(
        self,
        claim: Claim,
        lease_seconds: float,
        *,
        address_of: Callable[[Entry], str],
        request_of: Callable[[Entry, Elsewhere | None], str | None],
        serialize_tables: bool = True,
    ) -> TakenUp | None:
        """Return the entry of a claim, and begin its submission if its request is known at once.

        None: the claim is stale. What is begun is begun as :meth:`begin_submission` does.

        :param address_of: returns the address of an entry's workspace.
        :param request_of: returns the call as JSON, or None if it is not known at once; it is given what the
            workspace has open at another address. Both are called in a thread of the pool.
        """

        def work(session: Session) -> TakenUp | None:
            entry = _entry_of(session, claim.entry_id)
            if entry is None or entry.status is not Status.QUEUED or entry.submission != claim.submission:
                return None
            address = address_of(entry)
            elsewhere = elsewhere_of(session, entry.workspace, address)
            request = request_of(entry, elsewhere)
            if request is None:
                return TakenUp(waiting=entry, elsewhere=elsewhere)
            begun = _begun(
                session,
                claim=claim,
                lease_seconds=lease_seconds,
                request=request,
                address=address,
                serialize_tables=serialize_tables,
            )
            return TakenUp(waiting=entry, elsewhere=elsewhere, is_planned=True, begun=begun)

        return await self.pool.transact(work, writes=True)

    async def elsewhere(self, workspace: str, address: str) -> Elsewhere | None:
        """Return what a workspace has open at another address, or None."""
        return await self.pool.transact(
            lambda session: elsewhere_of(session, workspace, address), writes=False
        )

    async def note_address(self, workspace: str, address: str) -> None:
        """RUNNING stays RUNNING: take runs that began before addresses were kept to be at this one."""
        await self.pool.transact(
            lambda session: session.change("note_address", address, workspace), writes=True
        )

    async def leave_address(self, entry: Entry, address: str) -> None:
        """QUEUED stays QUEUED: nothing of the entry is open where it was; its call is made at this address.

        An entry that another delivery has begun to submit is left as it is.
        """
        await self.pool.transact(
            lambda session: session.changes_one("leave_address", address, entry.id, entry.submission),
            writes=True,
        )

    async def begin_submission(
        self,
        claim: Claim,
        lease_seconds: float,
        request: str,
        *,
        address: str = "",
        serialize_tables: bool = True,
    ) -> Entry | None:
        """Record that Databricks is about to be called, renew the lease and return the entry.

        None: the entry is no longer QUEUED for this submission, a cancellation came before the first call,
        the workspace has something open at another address and this call was not made here before, or
        another entry of its table has a submission open; then it is PENDING again.

        :param request: the call as JSON. A repeated submission keeps its first one, so send what is returned.
        :param address: where the workspace is that is called; empty = its addresses are not told apart.
        """
        begin = functools.partial(
            _begun,
            claim=claim,
            lease_seconds=lease_seconds,
            request=request,
            address=address,
            serialize_tables=serialize_tables,
        )
        return await self.pool.transact(begin, writes=True)

    async def replace_request(self, entry: Entry, request: str) -> bool:
        """QUEUED stays QUEUED: keep another request for this submission.

        False: another delivery has taken over.
        """
        return await self.pool.transact(
            lambda session: session.changes_one("replace_request", request, *_as_called(entry)), writes=True
        )

    async def record_run(
        self,
        claim: Claim,
        run_id: int,
        *,
        deliveries: int | None = None,
        new_in: str | None = None,
        address: str = "",
    ) -> bool:
        """QUEUED → RUNNING. False: the entry is no longer QUEUED for this submission, or calls were begun.

        If somebody has changed the entry by SQL while the call was under way, the run is kept beside it.

        :param deliveries: how many calls may have been begun; None = any number.
        :param new_in: the workspace that says that it has begun this run just now; None = the entry had it
            before.
        :param address: where that workspace is.
        :raises RunTaken: a run that should be new belongs to another entry or to an earlier submission.
        """
        most = NO_LIMIT if deliveries is None else deliveries

        asked = _as_asked(new_in or "", run_id, claim.entry_id, address)

        def work(session: Session) -> bool:
            # The change comes first: by its unique index two entries that are told one run take turns.
            key = (claim.entry_id, claim.submission)
            if session.changes_one("record_run", run_id, run_id, *key, most):
                # The way of every run, which is as short as can be; mostly the call has opened it.
                if not session.changes_one("open_again", run_id, claim.entry_id):
                    session.change("open_submission", run_id, claim.entry_id)
            elif deliveries is not None or not session.changes_one("keep_run", run_id, *key):
                return False
            if new_in is not None and _is_stray(run_id, session.rows("run_taken", *asked)):
                session.change("forget_stray", new_in, run_id)
            return True

        try:
            return await self.pool.transact(work, writes=True)
        except StoreError as error:
            if new_in is None or isinstance(error, StoreUnavailable | RunTaken):
                raise
            rows = await self.pool.transact(lambda each: each.rows("run_taken", *asked), writes=False)
            _is_stray(run_id, rows)  # the index may have refused it
            raise

    async def note_stray(
        self, workspace: str, run_id: int, entry_id: int, *, job_id: int | None = None, address: str = ""
    ) -> bool:
        """Keep a run that came when its entry had gone on without it.

        False: the run is, or was, that of another entry.

        :param job_id: the job that was asked for; None = not known.
        :param address: where the workspace is; empty = its addresses are not told apart.
        """

        def work(session: Session) -> bool:
            [taken] = session.rows("run_taken", *_as_asked(workspace, run_id, entry_id, address))
            if taken["entry_id"] not in {None, entry_id}:
                return False
            if not taken["strays"]:
                session.change("note_stray", workspace, run_id, entry_id, job_id, address or None)
            return True

        return await self.pool.transact(work, writes=True)

    async def strays(self, workspace: str) -> list[StrayRun]:
        """Return the runs that came when their entries had gone on without them, oldest first."""
        rows = await self.pool.transact(lambda session: session.rows("stray_runs", workspace), writes=False)
        return [read_stray({**row, "workspace": workspace}) for row in rows]

    async def stray_goes_on(self, stray: StrayRun, problem: str | None) -> None:
        """Note that a run that nobody wants was to be cancelled now, and what keeps the app from it."""
        await self.pool.transact(
            lambda session: session.change("stray_goes_on", cut(problem), stray.workspace, stray.run_id),
            writes=True,
        )

    async def forget_stray(self, stray: StrayRun) -> None:
        """Forget a run that nobody wanted: it is over."""

        def work(session: Session) -> None:
            session.change("forget_stray", stray.workspace, stray.run_id)
            session.change("close_ownerless", stray.workspace, stray.run_id)

        await self.pool.transact(work, writes=True)

    async def revive(self, entry: Entry, run_id: int, reason: str) -> bool:
        """PENDING, FAILED, DEAD or CANCELED → RUNNING: a run of the entry is active again.

        False: the entry has changed.

        :param reason: for ``last_error``, since the entry follows a run that the app did not start.
        """
        seen = (entry.id, entry.submission, entry.last_runid, entry.deliveries, int(entry.in_doubt))

        def work(session: Session) -> bool:
            if not session.changes_one("revive", run_id, run_id, cut(reason), *seen):
                return False
            keep_open(session, entry.id, run_id)
            return True

        return await self.pool.transact(work, writes=True)

    async def unclaim(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → PENDING: no run may be started now. False: another delivery has taken over."""
        values = (
            milliseconds(verdict.delay_seconds),
            cut(verdict.error),
            verdict.slot_waits,
            verdict.refusal,
            *_as_called(entry),
        )

        def work(session: Session) -> bool:
            if not session.changes_one("unclaim", *values):
                return False
            session.change("close_submission", entry.id)
            return True

        return await self.pool.transact(work, writes=True)

    async def refuse(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """QUEUED → FAILED, DEAD or CANCELED, with its log row. False: another delivery has taken over."""
        return await self.pool.transact(
            lambda session: _change_and_log(session, log, "refuse", *_ending(entry, verdict)), writes=True
        )

    async def leave_open(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → FAILED, DEAD or CANCELED, the submission left open: its token will find the run, if any.

        False: another delivery has taken over.
        """

        def work(session: Session) -> bool:
            if not session.changes_one("leave_open", *_ending(entry, verdict)):
                return False
            if not session.changes_one("give_up", entry.id):  # an older version of the app made the calls
                keep_open(session, entry.id, None)
                session.change("give_up", entry.id)
            return True

        return await self.pool.transact(work, writes=True)

    async def postpone(
        self, claim: Claim, *, seconds: float, reason: str, unanswered: Unanswered | None = None
    ) -> bool:
        """Let the lease of a QUEUED entry end in ``seconds``; then its message is sent again.

        :param unanswered: why the call that has just been made got no answer; None = no call was made, and
            the wait does not count.
        """
        is_doubtful, is_subtracted = unanswered in _DOUBTFUL, unanswered in _NOT_COUNTED
        values = (
            milliseconds(seconds),
            cut(reason),
            int(unanswered is not None),
            int(is_doubtful),
            int(is_subtracted),
            int(is_doubtful),
            claim.entry_id,
            claim.submission,
        )

        def work(session: Session) -> bool:
            if not session.changes_one("postpone", *values):
                return False
            session.change("close_uncalled", claim.entry_id)
            return True

        return await self.pool.transact(work, writes=True)

    async def not_sent(self, claim: Claim, reason: str) -> bool:
        """Let a later pass send the message of a QUEUED entry again, since the queue did not take it."""
        values = (milliseconds(POSTPONE_SECONDS), cut(reason), claim.entry_id, claim.submission)
        return await self.pool.transact(lambda session: session.changes_one("not_sent", *values), writes=True)

    async def hear(self, entry: Entry, doubt: Doubt) -> Heard:
        """QUEUED stays QUEUED: count what was heard of its submission, and return how often it was."""

        def work(session: Session) -> Heard:
            now = session.now()
            known = _doubts_of(session, entry)
            times, noted = known.get(doubt, (0, now))
            since = min(noted, now)  # one in the future was noted before the clock went back
            known[doubt] = times + 1, since
            session.changes_one("note_doubts", doubts.write(known), entry.id, entry.submission)
            return Heard(times=times + 1, seconds=(now - since).total_seconds())

        return await self.pool.transact(work, writes=True)

    async def forget(self, entry: Entry, doubt: Doubt) -> None:
        """QUEUED stays QUEUED: what was heard of the entry's submission is so no more."""

        def work(session: Session) -> None:
            known = _doubts_of(session, entry)
            if known.pop(doubt, None) is not None:
                session.changes_one("note_doubts", doubts.write(known), entry.id, entry.submission)

        await self.pool.transact(work, writes=True)

    async def finish(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """RUNNING → the state that the verdict names, with its log row.

        False: another monitor was faster, or the entry has another reason to be stopped than it had: the
        verdict does not heed that, so the next pass decides.
        """

        return await self.pool.transact(
            lambda session: _change_and_log(
                session,
                log,
                "finish",
                verdict.to,
                milliseconds(verdict.delay_seconds),
                cut(verdict.error),
                0 if verdict.attempt_spent else 1,
                verdict.slot_waits,
                verdict.platform_failures,
                verdict.to,
                entry.id,
                entry.submission,
                entry.runid,
                entry.stop_reason or "",
            ),
            writes=True,
        )

    async def note_trouble(
        self,
        entry: Entry,
        reason: str | None,
        *,
        missing: bool = False,
        unreadable: bool = False,
        vanished: bool | None = None,
    ) -> bool:
        """RUNNING stays RUNNING: note that its run is missing or cannot be read, or that it is well again.

        False: the entry follows this run no longer.

        :param reason: for ``last_error``; None = nothing is wrong.
        :param vanished: whether the run is doubted from now on, since it vanished together with others;
            None = as before.
        """
        return await self.pool.transact(
            lambda session: session.changes_one(
                "note_trouble",
                cut(reason),
                int(missing),
                None if vanished is None else int(vanished),
                int(unreadable),
                entry.id,
                entry.submission,
                entry.runid,
            ),
            writes=True,
        )

    async def note_queue(self, entry: Entry, seconds: float | None) -> bool:
        """RUNNING stays RUNNING: note how long the run waited in Databricks' queue; None = it waits there.

        False: the entry follows this run no longer.
        """
        return await self.pool.transact(
            lambda session: session.changes_one(
                "note_queue", seconds, entry.id, entry.submission, entry.runid
            ),
            writes=True,
        )

    async def note_stop(self, entry: Entry, reason: StopReason) -> bool:
        """RUNNING stays RUNNING: note, before the call, why the app cancels the run.

        False: the entry follows this run no longer.
        """
        return await self.pool.transact(
            lambda session: session.changes_one("note_stop", reason, entry.id, entry.submission, entry.runid),
            writes=True,
        )

    async def note_cancel(self, entry: Entry) -> bool:
        """RUNNING stays RUNNING: note that Databricks accepted a call to cancel the run.

        False: the entry follows this run no longer.
        """
        return await self.pool.transact(
            lambda session: session.changes_one("note_cancel", entry.id, entry.submission, entry.runid),
            writes=True,
        )

    async def note_state(self, entry: Entry, state: str | None) -> bool:
        """RUNNING stays RUNNING: note in which state the run stands still from now on; None = it does not.

        False: the entry follows this run no longer.
        """
        values = (cut_name(state), int(state is not None), entry.id, entry.submission, entry.runid)
        return await self.pool.transact(
            lambda session: session.changes_one("note_state", *values), writes=True
        )

    async def recover(self, *, lease_seconds: float, limit: int) -> list[Claim]:
        """Renew the lease of QUEUED entries whose lease is over and return their claims, to be sent again."""
        longest = _longest(lease_seconds)
        doublings = int(math.log2(max(1.0, LONGEST_WAIT_SECONDS / lease_seconds)))
        rows = await self.pool.transact(
            lambda session: session.rows(
                "recover", milliseconds(lease_seconds), doublings, doublings, *longest, *longest, limit
            ),
            writes=True,
        )
        return [read_claim(row) for row in rows]

    async def unanswered(self, *, deliveries: int, limit: int) -> list[Entry]:
        """Return QUEUED entries whose lease is over after ``deliveries`` calls or more without an answer."""
        rows = await self.pool.transact(
            lambda session: session.rows("unanswered", deliveries, limit), writes=False
        )
        return [read_entry(row) for row in rows]

    async def calls_accepted(self, workspace: str, *, within_seconds: float, address: str = "") -> bool:
        """Say whether a call of ``run-now`` was accepted for some entry of a workspace.

        :param within_seconds: how far back to look.
        :param address: where the workspace is; what another address accepted says nothing.
        """
        since = -milliseconds(within_seconds)
        values = (workspace, since, address, since, workspace, since, address)
        [found] = await self.pool.transact(
            lambda session: session.rows("calls_accepted", *values), writes=False
        )
        return bool(found["accepted"])

    async def holds(self, workspace: str, *, setting: str, address: str) -> tuple[list[Hold], datetime]:
        """Return the refusals of jobs that stand and are not their entries' own, and the database's time.

        :param setting: the workspace's own job (:func:`~orchestrator.core.refused_jobs.setting_of`).
        :param address: where the workspace is; what another address accepted says nothing.
        """
        return await self.pool.transact(
            lambda session: holds_of(session, workspace, setting, address), writes=False
        )

    async def cancel_waiting(self, limit: int) -> int:
        """Cancel, on request, entries that certainly have no run; return how many."""
        return await self.pool.transact(lambda session: session.change("cancel_waiting", limit), writes=True)

    async def put_right(self, *, max_attempts: int, limit: int) -> int:
        """Bring on what would stand still for ever after a change by SQL or of the limit; return how many.

        An entry in flight whose submission is over waits again, or is what the log says. An entry that can
        never be claimed ends. A wait that seems to have begun before its entry waited begins now, and so does
        what was noted at a time that is still to come; these are not counted.
        """
        limit_or_none = max_attempts or NO_LIMIT
        stand_still = await self.pool.transact(
            lambda session: session.rows("stands_still", limit_or_none), writes=False
        )

        def work(session: Session) -> int:
            session.change("count_from_now", limit)
            if stand_still:
                session.change("put_in_range", limit)
            changed = put_back(session, limit)
            changed += session.change("return_settled", limit) + session.change("renumber", limit)
            if stand_still or changed:  # what was changed may be another one that no claim can take
                session.change("begin_wait", limit)
                changed += session.change(
                    "end_unclaimable", _UNCLAIMABLE, limit_or_none, limit_or_none, limit
                )
            return changed

        return await self.pool.transact(work, writes=True)

    async def running(self, workspace: str) -> list[Entry]:
        """Return all RUNNING entries of a workspace."""
        rows = await self.pool.transact(lambda session: session.rows("running", workspace), writes=False)
        return [read_entry(row) for row in rows]

    async def running_run(self, workspace: str, run_id: int) -> Entry | None:
        """Return the entry that follows a run now, or None."""
        rows = await self.pool.transact(
            lambda session: session.rows("running_run", workspace, run_id), writes=False
        )
        return read_entry(rows[0]) if rows else None

    async def ended_runs(
        self, workspace: str, run_ids: Collection[int], *, address: str = ""
    ) -> list[EndedRun]:
        """Return the entries that are over or wait, with the run of theirs that is one of these.

        It is the last run of the entry, if that is among them, or else the newest of the earlier ones.

        :param address: where the workspace is that has these runs.
        """
        if not run_ids:
            return []
        ids = json.dumps(sorted(run_ids))
        rows = await self.pool.transact(
            lambda session: session.rows("ended_runs", workspace, ids, address, ids, workspace, address),
            writes=False,
        )
        found: dict[int, EndedRun] = {}
        for row in sorted(rows, key=lambda row: (row["id"], row["found_submission"])):
            run_id, _ = row.pop("found_runid"), row.pop("found_submission")
            entry = read_entry(row)
            if entry.id not in found or not found[entry.id].is_last:
                found[entry.id] = EndedRun(entry=entry, run_id=run_id)
        return list(found.values())

    async def open_jobs(self, workspace: str) -> set[JobKey]:
        """Return how the open entries of a workspace name their jobs."""
        rows = await self.pool.transact(lambda session: session.rows("open_jobs", workspace), writes=False)
        return {read_job_key(row) for row in rows}

    async def last_success(self, workspace: str, table_name: str) -> datetime | None:
        """Return when the latest successful run of a source table started, or None without one."""
        rows = await self.pool.transact(
            lambda session: session.rows("last_success", table_name, workspace), writes=False
        )
        return None if rows[0]["started_at"] is None else read_time(rows[0]["started_at"])

    async def open_workspaces(self) -> list[OpenWorkspace]:
        """Return the workspaces that open entries name, configured or not."""
        return await self.pool.transact(open_workspaces_of, writes=False)

    async def note_unknown(self, known: Collection[str], *, reason: str, limit: int) -> int:
        """Say of waiting entries without an error that their workspace is not known; return how many."""
        names = json.dumps(sorted(known))
        return await self.pool.transact(
            lambda session: session.change("note_unknown", reason, names, limit), writes=True
        )

    async def purge(self, *, older_than_seconds: float, limit: int) -> int:
        """Delete entries that have been final for that long, oldest first, with their logs; return how many.

        An entry whose submission was left open stays, even when it is DEAD: its token alone can find the run
        that may have been started.
        """
        return await self.pool.transact(
            lambda session: session.change("purge", math.ceil(older_than_seconds), limit), writes=True
        )

    async def logs(self, entry_id: int, *, run_id: int | None = None) -> list[LogRow]:
        """Return the last 100 settled submissions of an entry, first to last.

        :param run_id: only those of this run.
        """

        def work(session: Session) -> list[LogRow]:
            if run_id is None:
                rows = session.rows("logs_of_entry", entry_id, NO_LIMIT, _MAX_LOGS)
            else:
                rows = session.rows("logs_of_run", entry_id, run_id, _MAX_LOGS)
            return [read_log_row(row) for row in reversed(rows)]

        return await self.pool.transact(work, writes=False)

    async def last_log(self, entry_id: int, *, until: int = NO_LIMIT) -> LogRow | None:
        """Return the last settled submission of an entry, or None.

        :param until: none after this submission.
        """
        rows = await self.pool.transact(
            lambda session: session.rows("logs_of_entry", entry_id, until, 1), writes=False
        )
        return read_log_row(rows[0]) if rows else None

    async def last_logged_run(self, entry_id: int, *, since: int = 0) -> int | None:
        """Return the run of an entry's last settled submission that has one, since one of them, or None."""
        rows = await self.pool.transact(
            lambda session: session.rows("last_logged_run", entry_id, since), writes=False
        )
        return rows[0]["runid"] if rows else None

    async def now(self) -> datetime:
        """Return the database's clock."""
        return await self.pool.transact(Session.now, writes=False)


def _longest(lease_seconds: float) -> tuple[int, int]:
    """Return how long a lease can last, and how long after a wait, both in milliseconds and with a margin."""
    after_wait = max(lease_seconds, LONGEST_WAIT_SECONDS)
    return milliseconds(lease_seconds + _CLOCK_MARGIN), milliseconds(after_wait + _CLOCK_MARGIN)


def _entry_of(session: Session, entry_id: int) -> Entry | None:
    """Return an entry with its parameters, or None."""
    rows = session.rows("get_entry", entry_id)
    return read_entry(rows[0]) if rows else None


def _begun(
    session: Session,
    *,
    claim: Claim,
    lease_seconds: float,
    request: str,
    address: str,
    serialize_tables: bool,
) -> Entry | None:
    """Begin the submission of an entry and return the entry. See :meth:`Store.begin_submission`."""
    at = address or None
    key = (claim.entry_id, claim.submission)
    values = (request, at, milliseconds(lease_seconds), *key, at, at, int(serialize_tables))
    if not session.changes_one("begin_submission", *values):
        if serialize_tables:
            session.change("give_way", *key)
        return None
    # The way of every run, as in record_run: mostly this is its first call.
    if not session.changes_one("open_submission", None, claim.entry_id):
        session.change("open_again", None, claim.entry_id)
    return read_entry(session.rows("get_entry", claim.entry_id)[0])


def _doubts_of(session: Session, entry: Entry) -> dict[str, tuple[int, datetime]]:
    """Return what was heard of an entry's submission."""
    return doubts.read(next((row["doubts"] for row in session.rows("find_entry", entry.id)), None))


def _ending(entry: Entry, verdict: Verdict) -> tuple[object, ...]:
    """Return the parameters of a statement that ends a submission which started no known run."""
    return (
        verdict.to,
        milliseconds(verdict.delay_seconds),
        cut(verdict.error),
        int(verdict.attempt_spent),
        *_as_called(entry),
    )


def _as_called(entry: Entry) -> tuple[int, int, int, int]:
    """Return what no other call of a submission may have changed since it was read."""
    return (entry.id, entry.submission, entry.deliveries, int(entry.in_doubt))


def _as_asked(workspace: str, run_id: int, entry_id: int, address: str) -> tuple[object, ...]:
    """Return the parameters of ``run_taken`` for a run of an entry."""
    return (workspace, run_id, workspace, run_id, entry_id, address, run_id, workspace, address)


def _is_stray(run_id: int, rows: list[dict[str, Any]]) -> bool:
    """Say whether a run is kept as one that nobody wants. :raises RunTaken: somebody has or had it."""
    [found] = rows
    if found["entry_id"] is not None:
        raise RunTaken(run_id, found["entry_id"])
    return bool(found["strays"])


def _change_and_log(session: Session, log: LogRow, name: str, *parameters: object) -> bool:
    """Change an entry and, if it was changed, insert its log row; say whether it was."""
    if not session.changes_one(name, *parameters):
        return False
    session.change("close_submission", log.entry_id)
    session.must_change_one("insert_log", *log_values(log))
    return True
