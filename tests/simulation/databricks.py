"""A simulated workspace that always honours tokens but may lose, delay or falsify its answers."""

import asyncio
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.errors import (
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
    TokenUnavailable,
    WorkspaceUnavailable,
)
from orchestrator.core.models import ActiveRun, Job, RepairRequest, Run, RunFailure, RunRequest
from tests.simulation.runs import SimulatedRun
from tests.simulation.scheduler import Scheduler

#: Faults of a call. ``missing``: a look-up says once that a live run does not exist. ``queued``: a new run
#: waits in Databricks' own queue. ``lagging``: the list lacks the newest run.
FAULTS = (
    "lost before",
    "lost after",
    "no token",
    "rate",
    "no capacity",
    "refused",
    "denied",
    "lagging",
    "slow cancel",
    "missing",
    "queued",
)


#: At which host a call is made.
HERE: ContextVar[str] = ContextVar("here", default="")

#: The client ends a call that takes longer. ``run-now`` needs no such limit, since it has a token.
_LONGEST_CALL = timedelta(seconds=90)


@dataclass
class SimulatedRuns:
    """The runs of one workspace; the test decides what happens between two calls."""

    scheduler: Scheduler
    #: the time that stands in the ends of runs
    now: Callable[[], datetime]
    faults: list[str] = field(default_factory=list)
    runs: dict[int, SimulatedRun] = field(default_factory=dict)
    by_token: dict[str, SimulatedRun] = field(default_factory=dict)
    foreign: set[int] = field(default_factory=set)
    #: a run that the app repairs looks over for a moment, wherever it is looked up
    repairs_lag: bool = False
    #: how every call for a repair fails, empty = they work
    repairs_fail: str = ""
    #: hosts where a replica that knows none of the runs answers
    vanished: Collection[str] = ()
    #: the one host that answers; None = every host does
    place: str | None = None
    #: hosts whose list of active runs never comes
    hanging: set[str] = field(default_factory=set)
    #: the answer of the next call for a run is lost
    next_run_is_lost: bool = False
    #: called before a run is started, repaired or cancelled; they raise if that must not be
    check_start: Callable[[str], None] = lambda _: None
    check_repair: Callable[[SimulatedRun], None] = lambda _: None
    check_cancel: Callable[[SimulatedRun], None] = lambda _: None
    #: every list that was sent, with the runs of our entries in it
    lists: list[tuple[Collection[ActiveRun], dict[SimulatedRun, int]]] = field(default_factory=list)
    _beginnings: int = 0

    def live(self) -> list[SimulatedRun]:
        """Return the runs of our entries that are not over."""
        return [run for run in self.runs.values() if run.is_live]

    def over(self) -> list[SimulatedRun]:
        """Return the runs of our entries that are over and were not deleted."""
        return [run for run in self.runs.values() if not run.is_live and not run.deleted]

    def end(self, run: SimulatedRun, how: str) -> None:
        """End a run."""
        run.end(how, self.now())

    def move(self, host: str, *, keeps_runs: bool) -> None:
        """Be at another host from now on; a new workspace there knows nothing of the runs before."""
        self.place = host
        for run in self.runs.values():
            run.host = host
            if not keeps_runs:
                if run.is_live:
                    self.end(run, "canceled")
                run.deleted = True
        if not keeps_runs:
            self.by_token.clear()

    def repair_by_hand(self, run: SimulatedRun) -> None:
        """Run the failed tasks of a run again, as a person does in Databricks."""
        self._begin_repair(run, by_person=True)

    async def run_now(self, request: RunRequest) -> int:
        """Start a run, or find the run of the same token."""
        fault = await self._before()
        if fault == "no capacity":
            raise NoCapacity("already full", status=429)
        if fault in {"refused", "denied"}:  # also for a known token: the order of the checks is undocumented
            raise RequestRefused("no", status=400, error_code="X", permanent=fault == "refused")
        run = self.by_token.get(request.idempotency_token)
        if run is None or run.host != HERE.get():
            run = self._start(request.idempotency_token, fault)
        if run.deleted:
            raise TokenRunDeleted("its run was deleted", status=400, error_code="X", permanent=True)
        if self.next_run_is_lost:
            self.next_run_is_lost = False
            fault = "lost after"
        await self._after(fault)
        return run.run_id

    async def repair(self, request: RepairRequest) -> int:
        """Run the failed tasks of a run again, if it is over and nobody has repaired it since."""
        asked_at = self.now()
        fault = await self._before() or self.repairs_fail
        if fault == "no capacity":
            raise NoCapacity("already full", status=429)
        if fault in {"refused", "denied"}:
            raise RequestRefused("no", status=400, error_code="X", permanent=fault == "refused")
        if fault == "lost before" or self.now() - asked_at > _LONGEST_CALL:
            raise WorkspaceUnavailable("no answer")
        run = self._run(request.run_id)
        if run.deleted:
            raise RunNotFound("gone", status=400)
        if run.is_live or run.latest_repair_id != request.latest_repair_id:
            raise RequestRefused("active, or repaired since", status=400, error_code="X", permanent=False)
        self.check_repair(run)
        self._begin_repair(run, by_person=False)
        if self.repairs_lag:
            run.show_old_end(self.now())
        await self._after(fault)
        return len(run.repairs)

    async def find_jobs(self, name: str) -> list[int]:
        """No entry names a job."""
        raise NotImplementedError

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        """List the active runs; a run that began last may be missing."""
        if HERE.get() in self.hanging:
            await self._hang(seconds)
        fault = await self._before()
        here = [run for run in self.live() if run.host == HERE.get()]
        seen = [run for run in here if not (run.host in self.vanished or run.shows_old_end(self.now()))]
        active = sorted(seen, key=lambda run: run.began)
        listed = active[: -1 if fault == "lagging" else None]
        ours = [ActiveRun(run_id=run.run_id, job_id=1, queued=run.is_queued) for run in listed]
        found = (*ours, *(ActiveRun(run_id=run_id) for run_id in sorted(self.foreign)))
        began = {run: run.began for run in listed}
        self.lists.append((found, began))
        await self._after(fault)
        for run, beginning in began.items():
            run.seen = max(run.seen, beginning)
        return found

    def listed_in(self, found: Collection[ActiveRun]) -> dict[SimulatedRun, int]:
        """Return the runs of our entries that a list holds, and which of their beginnings it has seen."""
        return next((runs for known, runs in self.lists if known is found), {})

    async def get_run(self, run_id: int, *, with_history: bool = False) -> Run:
        """Return a run."""
        fault = await self._before()
        run = self._run(run_id)
        run.looks[asyncio.current_task()] = self._beginnings
        shown = run.shown(self.now(), with_history=with_history)
        missing = (
            run.host in self.vanished
            or run.deleted
            or (fault == "missing" and run.may_be_missed(with_history=with_history))
        )
        unreadable = run.unreadable
        began = run.began if run.is_live and not run.shows_old_end(self.now()) else 0
        await self._after(fault)
        if missing:
            raise RunNotFound("gone", status=400)
        if unreadable:
            error = WorkspaceUnavailable("not yours", status=403)
            error.answered = True
            raise error
        run.seen = max(run.seen, began)
        return shown

    async def failure_of(self, run: Run) -> RunFailure:
        """Return no error."""
        return RunFailure(message=f"{run.result_state}")

    async def result_of(self, run: Run) -> str | None:
        """Return no result: no notebook runs here."""
        return None

    async def cancel(self, run_id: int) -> None:
        """End a run, at once or later."""
        fault = await self._before()
        run = self._run(run_id)
        if run.is_live:
            self.check_cancel(run)
            if fault != "slow cancel":
                self.end(run, "canceled")
        await self._after(fault)

    async def get_job(self, job_id: int) -> Job:
        """Return a job, which shows that the workspace answers."""
        await self._after(await self._before())
        return Job(job_id=job_id, name="job", max_concurrent_runs=1000, queue_enabled=False)

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        """No use case calls this."""
        raise NotImplementedError

    def _run(self, run_id: int) -> SimulatedRun:
        """Return the run that a call names; a host is never asked for a run of another one."""
        run = self.runs[run_id]
        assert run.host == HERE.get(), f"{HERE.get()} is asked for run {run_id}, which is at {run.host}"
        return run

    def _start(self, token: str, fault: str) -> SimulatedRun:
        self.check_start(token)
        self._beginnings += 1
        run = SimulatedRun(run_id=1 + len(self.runs), token=token, began=self._beginnings, host=HERE.get())
        run.begin(queued=fault == "queued")
        self.runs[run.run_id] = self.by_token[token] = run
        return run

    def _begin_repair(self, run: SimulatedRun, *, by_person: bool) -> None:
        self._beginnings += 1
        run.repairs.append(by_person)
        run.repaired_at = self.now()
        run.began = self._beginnings
        run.begin(queued=False)

    async def _hang(self, seconds: float | None) -> None:
        """Wait for a list of active runs that never comes, as long as the client does."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            raise WorkspaceUnavailable(f"the active runs were not listed within {seconds} s") from None

    async def _before(self) -> str:
        await self.scheduler.boundary()
        if self.place not in {None, HERE.get()}:
            raise WorkspaceUnavailable("there is no such host")
        fault = self.faults.pop() if self.faults else ""
        if fault == "lost before":
            raise WorkspaceUnavailable("no answer")
        if fault == "no token":
            raise TokenUnavailable("Key Vault does not answer")
        if fault == "rate":
            error = WorkspaceUnavailable("too many requests", status=429)
            error.in_doubt = False
            raise error
        return fault

    async def _after(self, fault: str) -> None:
        await self.scheduler.boundary()
        if fault == "lost after":
            raise WorkspaceUnavailable("no answer")


class Onlooker:
    """Sees which runs are active at a host, at once, between two steps of a schedule."""

    def __init__(self, workspace: SimulatedRuns, name: str) -> None:
        self._workspace = workspace
        self._name = name

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        """List the active runs. :raises WorkspaceUnavailable: they are not listed within the time."""
        if self._name in self._workspace.hanging or self._workspace.place not in {None, self._name}:
            raise WorkspaceUnavailable(f"not listed within {seconds} s")
        ours = [run for run in self._workspace.live() if run.host == self._name]
        listed = [ActiveRun(run_id=run.run_id, job_id=1, queued=run.is_queued) for run in ours]
        return (*listed, *(ActiveRun(run_id=run_id) for run_id in sorted(self._workspace.foreign)))


class Host:
    """The calls of an app to one host: it knows the runs that were started there, and no others."""

    def __init__(self, workspace: SimulatedRuns, name: str) -> None:
        self._workspace = workspace
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return a call of the workspace, made at this host."""
        call = getattr(self._workspace, method)

        async def made_here(*values: object, **named: object) -> object:
            before = HERE.set(self._name)
            try:
                return await call(*values, **named)
            finally:
                HERE.reset(before)

        return made_here
