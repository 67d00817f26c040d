"""What the use cases need from the outside. Adapters fit these shapes; ``bootstrap`` puts them together."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from orchestrator.core.alerts import Alert, DeadRows, Delivery, Kind, PassEvent
from orchestrator.core.models import (
    CallsElsewhere,
    Claim,
    Entry,
    Job,
    LastPass,
    LogRow,
    Run,
    RunFailure,
    RunRequest,
    Unanswered,
    Verdict,
)
from orchestrator.core.telemetry import Metric


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


class Queue(Protocol):
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


class PassLog(Protocol):
    """The rows of ``orchestrator_tick``.

    Every method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    async def pass_started(self, name: str) -> None:
        """Note that a pass begins."""
        ...

    async def pass_finished(self, name: str, outcome: str) -> None:
        """Note that a pass has come to its end."""
        ...

    async def pass_failed(self, name: str, outcome: str) -> None:
        """Note why a pass did not come to its end."""
        ...


class FollowedRuns(Protocol):
    """Which row follows a run. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def running_run(self, workspace: str, run_id: int) -> Entry | None:
        """Return the row that follows a run now, or None."""
        ...


class Purgeable(Protocol):
    """What the purge needs of the store."""

    async def purge(self, *, older_than_seconds: float, limit: int) -> int:
        """Delete a batch in one transaction and return how many rows it had."""
        ...


class AlertStore(Protocol):
    """What people were told of. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def claim_dead(
        self, message: str, *, window_seconds: int, examined: int, shown: int
    ) -> DeadRows | None:
        """Claim the DEAD rows that nobody was told of for a message; None when there are none."""
        ...

    async def claim_passes(self, message: str, kind: Kind, events: Sequence[PassEvent]) -> list[PassEvent]:
        """Claim events for a message and return those that no other message has.

        No function is called late after it was called well again.
        """
        ...

    async def late_passes(self) -> list[PassEvent]:
        """Return the functions of which it is still owed that they are well again."""
        ...

    async def sent(self, message: str) -> None:
        """Note that a message arrived."""
        ...

    async def give_back(self, message: str) -> None:
        """Free the events of a message that did not arrive, for the next one."""
        ...

    async def forget(self, *, older_than_seconds: int, limit: int) -> None:
        """Delete old claims."""
        ...


class Clockwork(Protocol):
    """The timer functions' passes. Every method may raise :class:`~orchestrator.core.errors.StoreError`."""

    async def passes(self) -> list[LastPass]:
        """Return the last pass of each timer function."""
        ...

    async def now(self) -> datetime:
        """Return the database's clock."""
        ...


class Receiver(Protocol):
    """Where messages go."""

    async def deliver(self, alert: Alert, at: datetime) -> Delivery:
        """Send a message; ends in bounded time and raises nothing."""
        ...


class Telemetry(Protocol):
    """Where metrics and spans go. Nothing here ever fails or waits."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Add to a counter, set a gauge, or enter a value into a histogram."""
        ...

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:
        """Time a piece of work, with what is done inside as its children."""
        ...
