"""Small stand-ins for Databricks, the queue and the clock, for tests of one use case at a time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.errors import DatabricksError, RequestRefused, RunNotFound, WorkspaceUnavailable
from orchestrator.core.models import ActiveRun, Claim, Job, RepairRequest, Run, RunFailure, RunRequest

UNAVAILABLE = WorkspaceUnavailable("no answer")


class FakeClock:
    """Time that passes only when someone sleeps; chance from a fixed seed."""

    def __init__(self) -> None:
        self.time = 0.0
        self._random = random.Random(1)  # noqa: S311 - repeatable on purpose

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    def jitter(self) -> float:
        return self._random.random()


class SetClock:
    """A monotonic clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_000_000.3  # of a machine that has been up for days: floats are coarser there than near 0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeQueue:
    """Keeps what was sent; ``full`` makes it take nothing."""

    sent: list[Claim] = field(default_factory=list)
    full: bool = False

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        if self.full:
            return list(claims)
        self.sent += claims
        return []


@dataclass
class FakeRuns:
    """One workspace: remembers runs by token, and fails on request."""

    runs: dict[int, Run] = field(default_factory=dict)
    by_token: dict[str, int] = field(default_factory=dict)
    requests: list[RunRequest] = field(default_factory=list)
    repairs: list[RepairRequest] = field(default_factory=list)
    #: exit values of notebooks, by run
    results: dict[int, str] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)
    foreign: set[int] = field(default_factory=set)
    #: by id; a job that is missing exists all the same
    jobs: dict[int, Job] = field(default_factory=dict)
    #: raised by the next calls, one each, before any effect; a job can be read all the same
    errors: list[DatabricksError] = field(default_factory=list)
    #: raised by the next ``run_now`` or ``repair`` after its effect
    lost_answer: DatabricksError | None = None
    down: DatabricksError | None = None
    #: runs whose look-up fails although the workspace answers
    unreadable: set[int] = field(default_factory=set)
    #: runs whose look-up says that they do not exist
    gone: set[int] = field(default_factory=set)

    def _fail_on_request(self) -> None:
        if self.down is not None:
            raise self.down
        if self.errors:
            raise self.errors.pop(0)

    async def run_now(self, request: RunRequest) -> int:
        self._fail_on_request()
        self.requests.append(request)
        run_id = self.by_token.setdefault(request.idempotency_token, 1000 + len(self.by_token))
        self.runs.setdefault(run_id, Run(run_id=run_id, life_cycle_state="RUNNING"))
        self._lose_answer()
        return run_id

    def _lose_answer(self) -> None:
        if self.lost_answer is not None:
            error, self.lost_answer = self.lost_answer, None
            raise error

    async def repair(self, request: RepairRequest) -> int:
        self._fail_on_request()
        self.repairs.append(request)
        run = self.runs[request.run_id]
        if run.life_cycle_state == "RUNNING" or run.latest_repair_id != request.latest_repair_id:
            raise RequestRefused("active, or repaired since", status=400, error_code="X", permanent=False)
        repair_id = 1 + (run.latest_repair_id or 0)
        self.runs[request.run_id] = Run(
            run_id=run.run_id, life_cycle_state="RUNNING", latest_repair_id=repair_id
        )
        self._lose_answer()
        return repair_id

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        self._fail_on_request()
        active = {
            run_id for run_id, run in self.runs.items() if run.life_cycle_state in {"RUNNING", "QUEUED"}
        }
        queued = {run_id for run_id in active if self.runs[run_id].life_cycle_state == "QUEUED"}
        return tuple(ActiveRun(run_id=each, queued=each in queued) for each in sorted(active | self.foreign))

    async def get_run(self, run_id: int, *, with_history: bool = False) -> Run:
        self._fail_on_request()
        if run_id in self.unreadable:
            raise DatabricksError("an answer of the wrong shape")
        if run_id not in self.runs or run_id in self.gone:
            raise RunNotFound(f"run {run_id} does not exist", status=400)
        return self.runs[run_id]

    async def failure_of(self, run: Run) -> RunFailure:
        return RunFailure(message=f"task of {run.run_id} failed", error_trace="Traceback …")

    async def result_of(self, run: Run) -> str | None:
        return self.results.get(run.run_id)

    async def cancel(self, run_id: int) -> None:
        self._fail_on_request()
        self.cancelled.append(run_id)
        if run_id in self.runs:
            self.end(run_id, "CANCELED")

    async def get_job(self, job_id: int) -> Job:
        if self.down is not None:
            raise self.down
        return self.jobs.get(
            job_id, Job(job_id=job_id, name="job", max_concurrent_runs=1000, queue_enabled=False)
        )

    async def find_jobs(self, name: str) -> list[int]:
        self._fail_on_request()
        return [job.job_id for job in self.jobs.values() if job.name == name][:2]

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        return 5

    def end(self, run_id: int, result: str, life_cycle: str = "TERMINATED") -> None:
        """Let a run be over."""
        self.runs[run_id] = replace(self.runs[run_id], life_cycle_state=life_cycle, result_state=result)
