"""Which runs are active, which of them wait, and whether one more may start."""

from devstack.databricks.errors import ApiError, too_many_active_runs
from devstack.databricks.jobs import Job
from devstack.databricks.runs import Run

#: ``queue_details.code``
WORKSPACE_FULL = "ACTIVE_RUNS_LIMIT_REACHED"
JOB_FULL = "MAX_CONCURRENT_RUNS_REACHED"


class Slots:
    """The active runs: queued, pending, running or terminating.

    :param limit: the most runs at once, those in the queue not counted.
    """

    def __init__(self, limit: int) -> None:
        #: by run id, in the order of creation
        self.active: dict[int, Run] = {}
        #: the most runs that were ever active at the same time, other users' and queued ones included
        self.most = 0
        self._limit = limit
        self._queue: list[Run] = []

    def enter(self, run: Run) -> None:
        """Make a run active: a new one, or an old one that is repaired."""
        self.active[run.run_id] = run
        if run.ended_at is not None:
            by_creation = sorted(self.active.values(), key=lambda run: run.number)
            self.active = {each.run_id: each for each in by_creation}

    def leave(self, run: Run) -> None:
        """Take out a run that is over."""
        del self.active[run.run_id]
        if run in self._queue:
            self._queue.remove(run)

    def count(self) -> None:
        """Take note of how many are active now."""
        self.most = max(self.most, len(self.active))

    def why_full(self, job: Job) -> str:
        """Why a run of this job cannot start now, empty when it can."""
        if len(self.active) - len(self._queue) >= self._limit:
            return WORKSPACE_FULL
        started = sum(1 for run in self.active.values() if run.job is job and run.started_at is not None)
        return JOB_FULL if started >= job.max_concurrent_runs else ""

    def refusal(self) -> ApiError:
        """The answer to who wants to start a run when the workspace is full."""
        return too_many_active_runs(len(self.active) - len(self._queue), self._limit)

    def wait(self, run: Run, reason: str) -> None:
        """Let a run wait in the queue."""
        run.queue_reason = reason
        self._queue.append(run)

    def next_waiting(self) -> Run | None:
        """Take the oldest run that may start now out of the queue, None when there is none."""
        for run in self._queue:
            reason = self.why_full(run.job)
            if reason == WORKSPACE_FULL:
                return None
            if not reason:
                self._queue.remove(run)
                return run
        return None
