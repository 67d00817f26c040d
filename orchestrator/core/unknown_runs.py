"""Find the runs that calls of ``run-now`` without an answer may have begun. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice

from orchestrator.core import run_requests
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import ActiveRun, Entry, RunRequest
from orchestrator.core.states import Status

#: A call takes less than this, and the clocks of Databricks and of the database differ by less.
_SLACK = timedelta(minutes=2)

#: Runs that are kept for one entry: the first holds its table, and the others only say that it is not alone.
_MOST = 5

#: An entry that ended longer ago is taken for settled, whatever still runs.
LOOKED_BACK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class PossibleRun:
    """An active run that nobody knows, and an entry out of flight one of whose calls may have begun it."""

    entry: Entry
    run: ActiveRun

    @property
    def is_left_alone(self) -> bool:
        """Whether the app does nothing about it any more. An entry that waits finds its run by its token."""
        return self.entry.status in {Status.DEAD, Status.CANCELED}


def possible_runs(entries: Iterable[Entry], runs: Iterable[ActiveRun]) -> list[PossibleRun]:
    """Return which of these entries may have which run.

    :param entries: entries out of flight whose submission was left open.
    :param runs: active runs that are known to belong to nobody.
    """
    of_job: dict[int | None, list[ActiveRun]] = {}
    for run in runs:
        if not run.is_child and not run.is_unasked:
            of_job.setdefault(run.job_id, []).append(run)
    return [each for entry in entries for each in _runs_of(entry, of_job)]


def ended_since(runs: Iterable[ActiveRun], now: datetime) -> datetime:
    """Return since when an entry must have ended to be the one that began one of these runs."""
    starts = [run.started_at for run in runs]
    oldest = min((start for start in starts if start is not None), default=now)
    return now - LOOKED_BACK if None in starts else max(oldest - _SLACK, now - LOOKED_BACK)


def _runs_of(entry: Entry, of_job: Mapping[int | None, list[ActiveRun]]) -> list[PossibleRun]:
    """Return the runs of the job that an entry called for that began while it did, some of them at most."""
    try:
        request = run_requests.thaw(entry)
    except InvalidEntry:  # somebody has changed it: any job may be the one
        request, runs = None, list(chain.from_iterable(of_job.values()))
    else:
        if not isinstance(request, RunRequest):
            return []
        runs = of_job.get(request.job_id, [])
    found = (run for run in runs if _began_meanwhile(entry, request, run))
    return [PossibleRun(entry=entry, run=run) for run in islice(found, _MOST)]


def _began_meanwhile(entry: Entry, request: RunRequest | None, run: ActiveRun) -> bool:
    if run.started_at is None:
        return True
    began = (request and request.claimed_at) or entry.claimed_at
    ended = entry.finished_at
    return (began is None or began - _SLACK <= run.started_at) and (
        ended is None or run.started_at <= ended + _SLACK
    )
