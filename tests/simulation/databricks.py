"""A simulated workspace that always honours tokens but may lose, delay or falsify its answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.core.errors import (
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenUnavailable,
    WorkspaceUnavailable,
)
from orchestrator.core.models import ActiveRun, Job, RepairRequest, Run, RunFailure, RunRequest
from tests.simulation.scheduler import Scheduler

#: Faults of a call.
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
)

#: Ends of a run: life-cycle state, result state, termination code.
ENDS = {
    "success": ("TERMINATED", "SUCCESS", "SUCCESS"),
    "failed": ("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR"),
    "canceled": ("TERMINATED", "CANCELED", "USER_CANCELED"),
    "hopeless": ("INTERNAL_ERROR", "FAILED", "INVALID_CLUSTER_REQUEST"),
    "skipped": ("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED"),
}


@dataclass
class SimulatedRuns:
    """The runs of one workspace; the test decides what happens between two calls."""

    scheduler: Scheduler
    faults: list[str] = field(default_factory=list)
    runs: dict[int, Run] = field(default_factory=dict)
    by_token: dict[str, int] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)
    #: called before a run is cancelled; raises if nobody asked for the cancellation
    check_cancel: Callable[[int], None] = lambda _: None

    def live(self) -> list[int]:
        """Return the runs of our entries that are not over."""
        return [run_id for run_id, run in self.runs.items() if run.life_cycle_state == "RUNNING"]

    def end(self, run_id: int, how: str) -> None:
        """End a run."""
        life_cycle, result, code = ENDS[how]
        self.runs[run_id] = Run(
            run_id=run_id, life_cycle_state=life_cycle, result_state=result, termination_code=code
        )

    def forget(self, run_id: int) -> None:
        """Forget a run that is over: its 60 days have passed, or somebody deleted it."""
        if run_id not in self.live():
            self.forgotten.add(run_id)

    async def run_now(self, request: RunRequest) -> int:
        """Start a run, or find the run of the same token."""
        fault = await self._before()
        if fault == "no capacity":
            raise NoCapacity("already full", status=429)
        if fault in {"refused", "denied"}:  # also for a known token: the order of the checks is undocumented
            raise RequestRefused("no", status=400, error_code="X", permanent=fault == "refused")
        run_id = self.by_token.setdefault(request.idempotency_token, 1 + len(self.by_token))
        self.runs.setdefault(run_id, Run(run_id=run_id, life_cycle_state="RUNNING"))
        await self._after(fault)
        return run_id

    async def repair(self, request: RepairRequest) -> int:
        """No entry asks for it yet."""
        raise NotImplementedError

    async def find_jobs(self, name: str) -> list[int]:
        """No entry names a job."""
        raise NotImplementedError

    async def active_runs(self) -> tuple[ActiveRun, ...]:
        """List the active runs; a run that was just started may be missing."""
        fault = await self._before()
        active = self.live()[: -1 if fault == "lagging" else None]
        foreign = frozenset(self.foreign)
        await self._after(fault)
        return tuple(ActiveRun(run_id=run_id) for run_id in (*active, *foreign))

    async def get_run(self, run_id: int, *, with_history: bool = False) -> Run:
        """Return a run."""
        fault = await self._before()
        run = None if run_id in self.forgotten else self.runs.get(run_id)
        await self._after(fault)
        if run is None:
            raise RunNotFound("gone", status=400)
        return run

    async def failure_of(self, run: Run) -> RunFailure:
        """Return no error."""
        return RunFailure(message=f"{run.result_state}")

    async def result_of(self, run: Run) -> str | None:
        """Return no result: no notebook runs here."""
        return None

    async def cancel(self, run_id: int) -> None:
        """End a run, at once or later."""
        fault = await self._before()
        self.check_cancel(run_id)
        if self.runs[run_id].life_cycle_state == "RUNNING" and fault != "slow cancel":
            self.end(run_id, "canceled")
        await self._after(fault)

    async def get_job(self, job_id: int) -> Job:
        """Return a job, which shows that the workspace answers."""
        await self._after(await self._before())
        return Job(job_id=job_id, name="job", max_concurrent_runs=1000, queue_enabled=False)

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        """No use case calls this."""
        raise NotImplementedError

    async def _before(self) -> str:
        await self.scheduler.boundary()
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
