"""Count the free slots of jobs, for the claim and for explaining why entries wait. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.core.models import ActiveRun, JobKey, JobLimit


@dataclass(frozen=True, kw_only=True)
class JobRoom:
    """The slots of one job."""

    job_id: int
    max_concurrent_runs: int
    #: entries in flight that name the job
    ours: int
    #: active foreign runs of it, without those in Databricks' own queue
    foreign: int

    @property
    def free(self) -> int:
        """How many further runs the job takes now."""
        return max(0, self.max_concurrent_runs - self.ours - self.foreign)


@dataclass(frozen=True, kw_only=True)
class Obstacles:
    """What keeps entries from being claimed although their workspace has free slots."""

    #: by the way in which entries name their job; a job that is missing has room for all
    rooms: Mapping[JobKey, JobRoom] = field(default_factory=dict)
    #: entries that are not in flight, but one of whose runs is active in Databricks; and their tables, unless
    #: an entry has let go of its run
    alive_entries: frozenset[int] = frozenset()
    alive_tables: frozenset[str] = frozenset()


NO_OBSTACLES = Obstacles()


def job_rooms(
    in_flight: Iterable[JobKey], foreign: Iterable[ActiveRun], jobs: Mapping[JobKey, JobLimit]
) -> dict[JobKey, JobRoom]:
    """Return the slots of each job, by the way in which entries name it.

    :param in_flight: the jobs of the entries that are in flight.
    :param foreign: the active runs that belong to none of them.
    """
    ours = Counter(jobs[key].job_id for key in in_flight if key in jobs)
    others = Counter(run.job_id for run in foreign if not run.queued)
    return {
        key: JobRoom(
            job_id=limit.job_id,
            max_concurrent_runs=limit.max_concurrent_runs,
            ours=ours[limit.job_id],
            foreign=others[limit.job_id],
        )
        for key, limit in jobs.items()
    }
