"""What the use cases need from the outside. Adapters fit these shapes; ``bootstrap`` puts them together."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from orchestrator.core.models import (
    CallsElsewhere,
    Claim,
    Entry,
    Job,
    LogRow,
    Run,
    RunFailure,
    RunRequest,
    Unanswered,
    Verdict,
)


class Runs(Protocol):
    """The runs of one Databricks workspace.

    Every method may raise :class:`~orchestrator.core.errors.WorkspaceUnavailable` (or a subclass) when there
    is no usable answer; then the effect may or may not have happened. Every method ends in bounded time.
    """

    async def run_now(self, request: RunRequest) -> int:
        """Start a run, or find the one that the same token started, and return its run id.

        :raises RequestRefused: the request is refused for good; no run was created.
        :raises NoCapacity: no run was created because the workspace is full.
        """
        ...

    async def active_run_ids(self) -> frozenset[int]:
        """Return the ids of all active runs of the workspace, ours and others'."""
        ...

    async def get_run(self, run_id: int) -> Run:
        """Return a run. :raises RunNotFound: Databricks no longer knows it."""
        ...

    async def failure_of(self, run: Run) -> RunFailure:
        """Return the errors of the last attempt of each failed task of a run."""
        ...

    async def cancel(self, run_id: int) -> None:
        """Ask for a run's cancellation; harmless on a run that is over or gone."""
        ...

    async def get_job(self, job_id: int) -> Job:
        """Return a job. :raises RequestRefused: there is no such job, or it may not be seen."""
        ...

    async def create_job(self, *, name: str, notebook_path: str, max_concurrent_runs: int) -> int:
        """Create a job with one notebook task on serverless or default compute and return its id."""
        ...


class Submissions(Protocol):
    """The queue that carries claims to the submit function."""

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Put one message a claim on the queue and return the claims whose message may not be there."""
        ...


class Store(Protocol):
    """The rows and their log; :class:`orchestrator.adapters.store.entries.Store` has each method's rules.

    Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    async def claim(
        self,
        workspace: str,
        *,
        cap: int,
        active_run_ids: Collection[int],
        lease_seconds: float,
        max_attempts: int,
        serialize_tables: bool,
    ) -> list[Claim]:
        """PENDING or FAILED → QUEUED, as many as there are free slots."""
        ...

    async def get(self, entry_id: int) -> Entry | None:
        """Return a row, or None."""
        ...

    async def begin_submission(self, claim: Claim, lease_seconds: float) -> Entry | None:
        """Note that ``run-now`` is about to be called; None when it must not be."""
        ...

    async def record_run(self, claim: Claim, run_id: int) -> bool:
        """QUEUED → RUNNING."""
        ...

    async def release(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → PENDING."""
        ...

    async def refuse(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """QUEUED → FAILED or DEAD, with its log row."""
        ...

    async def leave_open(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → FAILED or DEAD, the submission left open."""
        ...

    async def postpone(
        self, claim: Claim, *, seconds: float, reason: str, unanswered: Unanswered = Unanswered.ROW
    ) -> bool:
        """QUEUED stays; its message is sent again after so many seconds."""
        ...

    async def finish(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """RUNNING → its end, with its log row."""
        ...

    async def recover(self, *, lease_seconds: float, limit: int) -> list[Claim]:
        """Renew leases that are over and return their claims, to be sent again."""
        ...

    async def unanswered(self, *, deliveries: int, limit: int) -> list[Entry]:
        """Return QUEUED rows whose lease is over and that had so many calls without a known outcome."""
        ...

    async def calls_elsewhere(self, entry: Entry, *, within_seconds: float) -> CallsElsewhere:
        """Say how ``run-now`` fares for the other rows of a row's workspace."""
        ...

    async def cancel_waiting(self, limit: int) -> int:
        """PENDING, FAILED or QUEUED → CANCELED where there surely is no run."""
        ...

    async def running(self, workspace: str) -> list[Entry]:
        """Return the RUNNING rows of a workspace."""
        ...

    async def running_workspaces(self) -> set[str]:
        """Return the workspaces that rows with a run name."""
        ...

    async def waiting_workspaces(self) -> set[str]:
        """Return the workspaces that waiting rows name."""
        ...

    async def logs(self, entry_id: int) -> list[LogRow]:
        """Return a row's settled submissions."""
        ...

    async def now(self) -> datetime:
        """Return the database's clock."""
        ...


class Clock(Protocol):
    """Time and chance, so that tests choose both."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def jitter(self) -> float:
        """A number from 0 up to, not including, 1."""
        ...
