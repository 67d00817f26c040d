"""Count the free slots of jobs, for the claim and for explaining why entries wait. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.core.models import ActiveRun, AliveRun, JobKey, JobLimit
from orchestrator.core.unknown_runs import PossibleRun


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
    #: active runs of entries that are not in flight
    alive: tuple[AliveRun, ...] = ()
    #: active runs that entries in doubt may have
    possible: tuple[PossibleRun, ...] = ()

    @property
    def alive_entries(self) -> frozenset[int]:
        """Entries that begin no run, since an earlier one of theirs is active."""
        return frozenset(each.entry_id for each in self.alive)

    @property
    def held_tables(self) -> frozenset[str]:
        """Tables on which nothing begins, the finders' own calls aside."""
        return self._alive_tables | {each.entry.table_name for each in self.possible}

    @property
    def finders(self) -> frozenset[int]:
        """Entries in doubt that may be claimed although their table is held: their token finds the run.

        Not beside a run that goes on of a table that some database takes for the same: whether this one does
        is not known here, and to wait does no harm.
        """
        alive = set(map(_loosely, self._alive_tables))
        return frozenset(
            each.entry.id for each in self.possible if _loosely(each.entry.table_name) not in alive
        )

    @property
    def _alive_tables(self) -> frozenset[str]:
        return frozenset(each.table_name for each in self.alive if each.table_name is not None)


NO_OBSTACLES = Obstacles()


def _loosely(table_name: str) -> str:
    """Return what is left of a name for a database that ignores case and blanks at the end."""
    return table_name.casefold().rstrip()


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


def limited(rooms: Mapping[JobKey, JobRoom], tries: Mapping[JobKey, int]) -> dict[JobKey, JobRoom]:
    """Return the slots of jobs, with no more than their tries for those that are refused.

    Entries that name the same job in another way keep a room of their own, so these have a number that no job
    has: 0 or less.
    """
    held = {
        job: JobRoom(
            job_id=-number,
            max_concurrent_runs=min(count, rooms[job].free) if job in rooms else count,
            ours=0,
            foreign=0,
        )
        for number, (job, count) in enumerate(tries.items())
    }
    return {**rooms, **held}
