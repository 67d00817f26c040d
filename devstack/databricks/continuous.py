"""Continuous jobs: one run at a time, followed by the next one for as long as the job is not paused."""

from collections.abc import Callable
from functools import partial

from devstack.databricks.jobs import Job
from devstack.databricks.runs import Run, Trigger
from devstack.databricks.timeline import Timeline

#: Between the end of a run and the start of the next; a workspace waits longer after repeated failures.
PAUSE_SECONDS = 1.0

#: How long a run takes unless an outcome rule says otherwise: it is a stream, it ends when it is told to.
STREAM_SECONDS = 10 * 365 * 86400.0


class ContinuousJobs:
    """Keeps the runs of continuous jobs going.

    :param start: starts a run of a job, at a time.
    :param cancel: asks for a run's end, at a time.
    """

    def __init__(
        self,
        *,
        timeline: Timeline,
        start: Callable[[Job, Trigger, float], Run],
        cancel: Callable[[Run, float], None],
    ) -> None:
        self._timeline = timeline
        self._start = start
        self._cancel = cancel
        #: the newest run of each job, by job id
        self._runs: dict[int, Run] = {}
        #: ids of the jobs whose run is being cancelled so that another one can start
        self._restarting: set[int] = set()

    def created(self, job: Job, at: float) -> None:
        """Start the first run of a job, unless it is paused."""
        if job.runs_by_itself:
            self._begin(job, Trigger.CONTINUOUS, at)

    def deleted(self, job: Job) -> None:
        """Let no further run follow."""
        self._runs.pop(job.job_id, None)

    def restart(self, job: Job, at: float) -> None:
        """Cancel the run that is under way and start another one when it is over."""
        run = self._runs.get(job.job_id)
        if run is None or run.end:
            self._begin(job, Trigger.CONTINUOUS_RESTART, at)
            return
        self._restarting.add(job.job_id)
        self._cancel(run, at)

    def over(self, run: Run, at: float) -> None:
        """Start what follows the end of a run."""
        job = run.job
        if self._runs.get(job.job_id) is not run:
            return
        if job.job_id in self._restarting:
            self._restarting.discard(job.job_id)
            self._begin(job, Trigger.CONTINUOUS_RESTART, at)
        elif job.runs_by_itself:
            self._timeline.schedule(at + PAUSE_SECONDS, partial(self._follow, run))

    def _follow(self, before: Run, at: float) -> None:
        if self._runs.get(before.job.job_id) is before:
            self._begin(before.job, Trigger.CONTINUOUS, at)

    def _begin(self, job: Job, trigger: Trigger, at: float) -> None:
        self._runs[job.job_id] = self._start(job, trigger, at)
