"""The Databricks jobs that entries name: looked up by id or by name, and kept for some minutes."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from orchestrator.core import pass_budget, run_requests
from orchestrator.core.errors import (
    InvalidEntry,
    JobUnclear,
    OrchestratorError,
    RequestRefused,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Entry, Job, JobKey, JobLimit
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.redaction import one_line
from orchestrator.ports import Clock, Runs

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")

#: A workspace, and the id or the name of a job in it.
_Key = tuple[str, int | str]

#: How long a job is kept. Its limit may be changed in Databricks; a skipped run makes the app look sooner.
_KEEP_SECONDS = 300.0

#: How often a learnt limit is doubled at most: Databricks' own maximum is 1,000 runs of a job.
_MOST_DOUBLED = 10

#: How long the id that a name stands for is kept: a job that is deployed anew has another one.
_KEEP_ID_SECONDS = 60.0

#: How long a failed look-up is kept: somebody may be correcting the job, and the workspace may answer again.
_KEEP_FAILURE_SECONDS = 30.0

#: Jobs that Databricks is asked for in one claim, and at the same time. Before that number the time is over.
#: Entries rarely name more than a few jobs, and most are known from the pass before.
_MAX_LOOKED_UP = 2_000
_AT_ONCE = 10

#: Most jobs and most names that are kept; beyond that the ones looked up longest ago are dropped.
_MAX_KEPT = 10_000


class Jobs:
    """Looks up jobs for all use cases of a process. Concurrent callers share one call.

    :param runs: the workspaces' clients, by name.
    :param workspaces: their rules, by name: which job is the default.
    """

    def __init__(
        self, *, runs: Mapping[str, Runs], workspaces: Mapping[str, WorkspacePolicy], clock: Clock
    ) -> None:
        self._runs = runs
        self._workspaces = workspaces
        self._clock = clock
        #: by workspace and the way in which entries name the job: since when, and which limit
        self._learnt: dict[tuple[str, JobKey], tuple[float, JobLimit]] = {}
        self._jobs: _Kept[Job] = _Kept(clock, _KEEP_SECONDS)
        self._ids: _Kept[int] = _Kept(clock, _KEEP_ID_SECONDS)

    async def resolve(self, workspace: str, key: JobKey) -> Job:
        """Return the job that an entry names.

        While the workspace is unavailable, a job that was known before is returned.

        :raises JobUnclear: there is no such name, more than one job has it, or the job cannot be had.
        :raises InvalidEntry: no job is named at all.
        :raises RequestRefused: the job of an id does not exist, or the app may not see it.
        :raises WorkspaceUnavailable: there was no usable answer.
        """
        wanted = self._wanted(workspace, key)
        if wanted.job_id is not None:
            return await self._job(workspace, wanted.job_id)
        name = wanted.job_name or ""
        job_id = await self._id_of(workspace, name)
        try:
            return await self._job(workspace, job_id)
        except RequestRefused as error:
            # It was deleted, and perhaps deployed anew: then the name stands for another id.
            self._ids.expire((workspace, name))
            if (newer := await self._id_of(workspace, name)) == job_id:
                raise JobUnclear(str(error)) from None
        try:
            return await self._job(workspace, newer)
        except RequestRefused as error:
            raise JobUnclear(str(error)) from None

    def kept(self, workspace: str, key: JobKey, now: float) -> Job | None:
        """Return the job that an entry names if it is kept, so that nothing has to be looked up.

        May be called from any thread.

        :param now: on the clock.
        :raises InvalidEntry: no job is named at all.
        """
        wanted = self._wanted(workspace, key)
        job_id = wanted.job_id
        if job_id is None:
            job_id = self._ids.kept((workspace, wanted.job_name or ""), now)
        return None if job_id is None else self._jobs.kept((workspace, job_id), now)

    async def resolve_anew(self, workspace: str, key: JobKey) -> Job:
        """Return the job that an entry names as Databricks shows it now, whatever is kept.

        Raises what :meth:`resolve` raises, also while the workspace is unavailable; what was known stays.
        """
        wanted = self._wanted(workspace, key)
        if wanted.job_id is not None:
            return await self._job_anew(workspace, wanted.job_id)
        name = wanted.job_name or ""
        job_id = await self._ids.get_anew((workspace, name), lambda: self._find(workspace, name))
        try:
            return await self._job_anew(workspace, job_id)
        except RequestRefused as error:
            raise JobUnclear(str(error)) from None

    async def limits(
        self, workspace: str, keys: Collection[JobKey], *, seconds: float
    ) -> dict[JobKey, JobLimit]:
        """Return the limits of jobs, as far as they can be found out in time. Never raises.

        One that was known before is better than none. Without any, a job has no limit: the submission of its
        entries says what is wrong.
        """
        limit = asyncio.Semaphore(_AT_ONCE)
        limits: dict[JobKey, JobLimit] = {}

        async def look_up(key: JobKey) -> None:
            async with limit:
                found = await self._limit(workspace, key)
            if found is not None:
                limits[key] = found

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(look_up(key) for key in self._kept_first(workspace, keys)))
        for key in set(keys) - limits.keys():
            if (known := self._known_limit(workspace, key)) is not None:
                limits[key] = known
        if len(limits) < len(keys):
            text = "workspace %s: the limits of %s of %s jobs are not known"
            _logger.info(text, one_line(workspace), len(keys) - len(limits), len(keys))
        return limits

    def _kept_first(self, workspace: str, keys: Collection[JobKey]) -> list[JobKey]:
        """Return the jobs that cost no call, then the others, in random order so that each has its turn."""
        kept: list[JobKey] = []
        others: list[JobKey] = []
        for key in sorted(keys, key=str):
            (kept if self._is_kept(workspace, key) else others).append(key)
        others.sort(key=lambda _: self._clock.jitter())
        return [*kept, *others[:_MAX_LOOKED_UP]]

    def _is_kept(self, workspace: str, key: JobKey) -> bool:
        """Say whether a look-up costs no call, since the job, or why it cannot be had, is kept."""
        try:
            wanted = self._wanted(workspace, key)
        except InvalidEntry:
            return True
        job_id = wanted.job_id
        if job_id is None:
            name = (workspace, wanted.job_name or "")
            if not self._ids.is_kept(name):
                return False
            job_id = self._ids.last(name)
        return job_id is None or self._jobs.is_kept((workspace, job_id))

    async def _limit(self, workspace: str, key: JobKey) -> JobLimit | None:
        try:
            return _limit_of(await self.resolve(workspace, key))
        except OrchestratorError as error:
            _logger.warning("workspace %s: a job's limit is not known: %s", one_line(workspace), error)
            return self._learnt_limit(workspace, key)

    def _known_limit(self, workspace: str, key: JobKey) -> JobLimit | None:
        """Return the limit of a job that was not looked up in time, as it was before."""
        try:
            wanted = self._wanted(workspace, key)
        except InvalidEntry:
            return None
        job_id = wanted.job_id or self._ids.last((workspace, wanted.job_name or ""))
        job = None if job_id is None else self._jobs.last((workspace, job_id))
        return self._learnt_limit(workspace, key) if job is None else _limit_of(job)

    def _learnt_limit(self, workspace: str, key: JobKey) -> JobLimit | None:
        """Return what had room when a run last had none, doubled every five minutes since; None = nothing."""
        if (workspace, key) not in self._learnt:
            return None
        since, learnt = self._learnt[workspace, key]
        doubled = min(_MOST_DOUBLED, int((self._clock.monotonic() - since) / _KEEP_SECONDS))
        return replace(learnt, max_concurrent_runs=learnt.max_concurrent_runs * 2**doubled)

    def forget(self, workspace: str, job_id: int) -> None:
        """Look a job up again at the next call, since it is not, or no longer, as it was known."""
        self._jobs.expire((workspace, job_id))
        for name in self._ids.keys_of(job_id):
            self._ids.expire(name)

    def had_no_slot(self, entry: Entry, job_id: int, running: Collection[Entry]) -> None:
        """Look an entry's job up again, and note how many of its runs go on, in case that cannot be done.

        :param running: the RUNNING entries of the workspace.
        """
        workspace, key = entry.workspace, entry.job_key
        self.forget(workspace, job_id)  # its limit may not be what the claim takes it for
        beside = sum(each.job_key == key for each in running)
        limit = JobLimit(job_id=job_id, max_concurrent_runs=max(1, beside))
        self._learnt.pop((workspace, key), None)
        self._learnt[workspace, key] = (self._clock.monotonic(), limit)
        for oldest in list(self._learnt)[:-_MAX_KEPT]:
            del self._learnt[oldest]

    def _wanted(self, workspace: str, key: JobKey) -> JobKey:
        """Return the job's id or name, from the workspace's settings if the entry names neither."""
        policy = self._workspaces.get(workspace)
        if policy is None:
            known = ", ".join(sorted(self._workspaces))
            raise InvalidEntry(f"workspace is unknown; the settings have {known}")
        return run_requests.job_key(key, policy)

    async def _job(self, workspace: str, job_id: int) -> Job:
        return await self._jobs.get((workspace, job_id), lambda: self._runs[workspace].get_job(job_id))

    async def _job_anew(self, workspace: str, job_id: int) -> Job:
        return await self._jobs.get_anew((workspace, job_id), lambda: self._runs[workspace].get_job(job_id))

    async def _id_of(self, workspace: str, name: str) -> int:
        return await self._ids.get((workspace, name), lambda: self._find(workspace, name))

    async def _find(self, workspace: str, name: str) -> int:
        try:
            found = set(await self._runs[workspace].find_jobs(name))
        except RequestRefused as error:
            # A list of jobs was refused. That says nothing of one job, nor does it end an entry.
            raise WorkspaceUnavailable(str(error), status=error.status, error_code=error.error_code) from None
        if not found:
            raise JobUnclear(
                f"there is no job named {name!r} in workspace {workspace}, or the app may not see it: "
                "correct job_name, or grant the app's identity CAN MANAGE RUN on the job"
            )
        if len(found) > 1:
            ids = ", ".join(str(job_id) for job_id in sorted(found))
            raise JobUnclear(
                f"several jobs in workspace {workspace} are named {name!r} (for example {ids}): rename all "
                "but one, or give job_id instead of job_name"
            )
        return found.pop()


def continuous_reason(job: Job) -> str:
    """Say why no entry can run on a job with a continuous trigger, and what to do."""
    return (
        f"job {job.job_id} has a continuous trigger: Databricks keeps one run of it going, and run-now would "
        "only restart that run; name a job without one"
    )


def _limit_of(job: Job) -> JobLimit | None:
    if job.continuous:  # no entry can run on it: its entries are claimed only to be refused
        return None
    return JobLimit(job_id=job.job_id, max_concurrent_runs=job.max_concurrent_runs)


@dataclass
class _Slot(Generic[_T]):
    """What is known of one key."""

    #: held during a look-up, so that other callers wait for its result
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: the look-up is repeated from this time on
    until: float = -math.inf
    #: the last look-up's result or error; None = there was none yet
    outcome: _T | OrchestratorError | None = None


class _Kept(Generic[_T]):
    """Results of look-ups, kept for a time: good ones for `seconds`, failures for less."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        #: by key, the one looked up longest ago first
        self._slots: dict[_Key, _Slot[_T]] = {}

    async def get(self, key: _Key, look_up: Callable[[], Awaitable[_T]]) -> _T:
        """Return a kept result, or look it up; raise what the look-up raises."""
        slot = self._slots.setdefault(key, _Slot())
        async with slot.lock:
            outcome = slot.outcome
            if outcome is None or self._clock.monotonic() >= slot.until:
                outcome, seconds = await self._outcome(slot.outcome, look_up)
                # The time comes last: other threads read a kept result.
                slot.outcome = outcome
                slot.until = self._clock.monotonic() + seconds
                self._slots.pop(key, None)
                self._slots[key] = slot
                self._drop_oldest()
        if isinstance(outcome, OrchestratorError):
            raise outcome.with_traceback(None)  # one error for all callers: its traceback would grow
        return outcome

    async def get_anew(self, key: _Key, look_up: Callable[[], Awaitable[_T]]) -> _T:
        """Look a key up whatever is kept, and keep the result. Raises what the look-up raises."""
        self.expire(key)
        result = await _in_time(look_up())
        self._slots.pop(key, None)
        self._slots[key] = _Slot(until=self._clock.monotonic() + self._seconds, outcome=result)
        self._drop_oldest()
        return result

    def is_kept(self, key: _Key) -> bool:
        """Say whether a result or an error is kept, so that nothing has to be looked up."""
        slot = self._slots.get(key)
        return slot is not None and slot.outcome is not None and self._clock.monotonic() < slot.until

    def kept(self, key: _Key, now: float) -> _T | None:
        """Return a result that is kept at a time on the clock; None = there is none, or an error."""
        slot = self._slots.get(key)
        return None if slot is None or now >= slot.until else self.last(key)

    def last(self, key: _Key) -> _T | None:
        """Return the last result, also one that is kept no longer; None = there is none, or an error."""
        slot = self._slots.get(key)
        outcome = None if slot is None else slot.outcome
        return None if isinstance(outcome, OrchestratorError) else outcome

    def expire(self, key: _Key) -> None:
        """Look a key up again at its next use."""
        if key in self._slots:
            self._slots[key].until = -math.inf

    def keys_of(self, value: _T) -> list[_Key]:
        """Return the keys that stand for a value."""
        return [key for key, slot in self._slots.items() if slot.outcome == value]

    async def _outcome(
        self, known: _T | OrchestratorError | None, look_up: Callable[[], Awaitable[_T]]
    ) -> tuple[_T | OrchestratorError, float]:
        """Look up; return the outcome, and for how many seconds it is kept.

        :param known: the outcome of the look-up before.
        """
        try:
            return await _in_time(look_up()), self._seconds
        except WorkspaceUnavailable as error:
            # What was known before is better than nothing.
            outcome = error if known is None or isinstance(known, OrchestratorError) else known
            return outcome, _KEEP_FAILURE_SECONDS
        except OrchestratorError as error:
            return error, _KEEP_FAILURE_SECONDS

    def _drop_oldest(self) -> None:
        while len(self._slots) > _MAX_KEPT:
            del self._slots[next(iter(self._slots))]


async def _in_time(look_up: Awaitable[_T]) -> _T:
    """Await a look-up within its time limit. :raises WorkspaceUnavailable: it took longer."""
    try:
        async with asyncio.timeout(pass_budget.JOB_SECONDS):
            return await look_up
    except TimeoutError:
        raise WorkspaceUnavailable(
            f"Databricks sent no answer about a job within {pass_budget.JOB_SECONDS:.0f} s"
        ) from None
