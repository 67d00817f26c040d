"""Decide whether runs that Databricks says do not exist are gone. Pure.

One run may be deleted. Runs that were seen a moment ago do not vanish together: then the workspace was
restored, a replica of it lags behind, or the token is that of another workspace behind the same host. A run
that is taken for gone is started again, so several at once are believed only after a long time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.core.models import Entry
from orchestrator.core.time_limits import is_young

#: So many runs that are missing in one pass vanished together. Of one or two nobody can tell. What share of
#: the workspace's runs they are says nothing: a replica that lags behind lacks only the newest ones.
_TOGETHER = 3

#: Restoring a workspace, or correcting its settings once health tells of it, takes less than an hour.
_TAKES = timedelta(hours=1)

#: The same while no other run can be read, so that all that is known of the workspace speaks against it.
#: People were told for a day, so somebody may have deleted all runs.
_TAKES_ALONE = timedelta(days=1)

#: A run that vanished together with others and can be read again is doubted for as long: the workspace may
#: answer now so and now otherwise.
_READ_FOR = timedelta(hours=1)

#: Begins ``last_error`` of an entry whose run vanished together with others, also when those are back.
_VANISHED = "its run vanished together with others"
_DOUBTED = (
    "the workspace is doubted, not the run; believed after an hour, or after a day if no other run of the "
    "workspace can be read; resolve the entry to let go of the run"
)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a pass makes of a run that is missing."""

    is_gone: bool
    #: for ``last_error`` while the run is followed; None = an earlier pass has noted the same
    note: str | None
    #: whether the run vanished together with others, in this pass or an earlier one
    vanished: bool = False


def vanished_together(entries: Iterable[Entry], began: datetime) -> bool:
    """Say whether the runs that a pass misses are so many that the workspace is to be doubted.

    :param entries: whose runs Databricks says do not exist; runs that are too new to be known do not count.
    :param began: when the pass began, by the database's clock.
    """
    return sum(not is_young(entry.submitted_at, began) for entry in entries) >= _TOGETHER


def judge(
    entry: Entry,
    error: object,
    began: datetime,
    *,
    missed: int,
    together: bool,
    others_are_read: bool,
) -> Judgement:
    """Judge a run that is missing, and is not listed either. An earlier pass must have missed it, too.

    :param error: Databricks' words.
    :param began: when the pass began, by the database's clock.
    :param missed: how many runs this pass misses, new ones included. While these may yet turn out to have
        vanished together with this one, it is not gone.
    :param together: whether this pass misses too many at once.
    :param others_are_read: whether other runs of the workspace could be read in this pass.
    """
    since = entry.missing_since
    is_new = is_young(entry.submitted_at, began)
    vanished = entry.vanished_at is not None or (together and not is_new)
    takes = timedelta()
    if vanished:
        takes = _TAKES if others_are_read else _TAKES_ALONE
    is_certain = vanished or missed < _TOGETHER
    is_gone = is_certain and since is not None and since < began and not is_new and began - since >= takes
    if vanished:
        was_noted = since is not None and entry.vanished_at is not None
        note = None if was_noted else f"{_VANISHED}: {error} ({_DOUBTED})"
        return Judgement(is_gone=is_gone, note=note, vanished=True)
    note = f"{error} (believed once the same is said again in a later pass)" if since is None else None
    return Judgement(is_gone=is_gone, note=note)


def is_read_for_long(entry: Entry, now: datetime) -> bool:
    """Say whether the run of an entry, which can be read, is to be doubted no longer."""
    return entry.vanished_at is not None and now - entry.vanished_at >= _READ_FOR
