"""Let entries wait while Databricks refuses their job for a reason that is not their own. Pure.

The job that the settings name and the permissions of the app's principal are no fault of an entry. Entries
that hear of such a refusal keep it (in ``doubts``). What they keep makes a :class:`Hold` of a job: as long as
one holds, one entry of the job at a time tries whether the refusal still stands.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.core import doubts
from orchestrator.core.errors import InvalidEntry, RequestRefused
from orchestrator.core.models import Entry, JobKey

#: So many entries of a workspace that name their jobs themselves must have heard that a permission is missing
#: before that is taken for the principal's fault. One alone may name the wrong job.
DENIED_ENTRIES = 3

#: An entry that alone has heard for so long that it lacks a permission, in seconds, names the wrong job.
PATIENCE_SECONDS = 300.0

#: A call that was accepted after the refusal and this recently, in seconds, shows that the principal may run
#: jobs.
ACCEPTED_WITHIN_SECONDS = 3600.0

#: So long after it was heard last, a refusal holds nobody back any more.
ENDS_AFTER = timedelta(minutes=15)

#: First and longest pause between two tries; the longest leaves time for a try before the hold ends.
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 600.0

#: The workspace's own job, as entries name it: not at all.
_OWN = JobKey()

#: What an entry keeps: that the workspace's own job is refused, or the permission for a job of the entry's.
_SETTING = "SETTING"
_DENIED = "DENIED"

#: When the entry heard the refusal first, and last.
_FIRST = "FIRST"
_HEARD = "HEARD"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a waiting entry keeps of a refusal."""

    entry_id: int
    job: JobKey
    #: :func:`setting_of` or :data:`_DENIED`
    what: str
    #: how many entries of the workspace have heard it, this one included
    heard_by: int
    #: since when the job is refused; others may have heard it before
    since: datetime
    #: when the entry heard it first, and last
    first_at: datetime
    heard_at: datetime

    @property
    def is_believed(self) -> bool:
        """Whether enough entries have heard the same."""
        return self.heard_by >= DENIED_ENTRIES

    @property
    def may_be_believed(self) -> bool:
        """Whether others may still hear the same soon."""
        return (self.heard_at - self.first_at).total_seconds() < PATIENCE_SECONDS

    def kept(self) -> str:
        """Return it as the database keeps it."""
        return doubts.write(
            {
                self.what: (self.heard_by, self.since),
                _FIRST: (1, self.first_at),
                _HEARD: (1, self.heard_at),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """When Databricks accepted a call in a workspace last; None = not in the time of :data:`ENDS_AFTER`."""

    of_any_job: datetime | None = None
    #: for an entry that names no job itself
    of_own_job: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A refusal of a job that still stands, as far as is known."""

    job: JobKey
    #: the entry that heard it last
    entry_id: int
    #: how many entries have heard it; of the workspace, if a permission is missing
    heard_by: int
    since: datetime
    heard_at: datetime

    @property
    def is_of_setting(self) -> bool:
        """Whether the job that the settings name is refused; otherwise the principal is."""
        return self.job == _OWN

    @property
    def is_believed(self) -> bool:
        """Whether other entries of the job wait for it, too."""
        return self.is_of_setting or self.heard_by >= DENIED_ENTRIES

    def tries(self, now: datetime, *, under_way: int) -> int:
        """Return how many entries may try now whether the refusal still stands: one, after each pause."""
        pause = timedelta(seconds=pause_seconds(self.since, self.heard_at))
        return 0 if now < self.heard_at + pause else max(0, 1 - under_way)


def setting_of(job_id: int | None, job_name: str | None) -> str:
    """Return what is refused when a workspace's own job is. Another job in the settings is another matter.

    Names may be long, so that it is a digest.
    """
    job = job_name if job_id is None else job_id
    return f"{_SETTING} {hashlib.sha256(str(job).encode()).hexdigest()[:16]}"


def what_is_refused(entry: Entry, error: RequestRefused | InvalidEntry, setting: str) -> str | None:
    """Return what is refused beyond the entry itself; None = the refusal is the entry's own.

    :param setting: :func:`setting_of` the entry's workspace.
    """
    if not error.of_job:
        return None
    if entry.job_key == _OWN:
        return setting
    is_denied = isinstance(error, RequestRefused) and error.error_code == "PERMISSION_DENIED"
    return _DENIED if is_denied else None


def read(entry_id: int, job: JobKey, kept: str | None) -> Mark | None:
    """Return what an entry has kept of a refusal; None = nothing."""
    known = doubts.read(kept)
    what = next((key for key in known if key == _DENIED or key.startswith(f"{_SETTING} ")), None)
    if what is None or not {_FIRST, _HEARD} <= known.keys():
        return None
    heard_by, since = known[what]
    return Mark(
        entry_id=entry_id,
        job=job,
        what=what,
        heard_by=heard_by,
        since=since,
        first_at=known[_FIRST][1],
        heard_at=known[_HEARD][1],
    )


def mark_of(entry: Entry) -> Mark | None:
    """Return what an entry has kept of a refusal of the job that it names now; None = nothing."""
    return read(entry.id, entry.job_key, entry.doubts)


def heard(entry: Entry, what: str, holds: Iterable[Hold], now: datetime) -> Mark:
    """Return what an entry keeps of a refusal that it has just heard.

    :param holds: what holds in the workspace, with what the entry has heard before.
    """
    job = entry.job_key
    same = [each for each in holds if each.is_of_setting == (job == _OWN)]
    before = mark_of(entry)
    is_known = before is not None and before.what == what and before.heard_at >= now - ENDS_AFTER
    others = max((each.heard_by for each in same), default=0)
    return Mark(
        entry_id=entry.id,
        job=job,
        what=what,
        heard_by=max(1, others if is_known else others + 1),
        since=min([now, *(each.since for each in same if each.job == job)]),
        first_at=before.first_at if before is not None and is_known else now,
        heard_at=now,
    )


def holds(marks: Iterable[Mark], setting: str, accepted: Accepted, now: datetime) -> list[Hold]:
    """Return the refusals that stand: heard lately, and no call was accepted since.

    :param setting: :func:`setting_of` the workspace.
    """
    by_job: dict[JobKey, list[Mark]] = {}
    for mark in marks:
        if _stands(mark, setting, accepted, now):
            by_job.setdefault(mark.job, []).append(mark)
    denied = [each for job, found in by_job.items() if job != _OWN for each in found]
    return [_hold(job, found, found if job == _OWN else denied) for job, found in by_job.items()]


def pause_seconds(since: datetime, now: datetime) -> float:
    """Return how long an entry waits: as long as the refusal has lasted, so twice as long each time."""
    return min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, (now - since).total_seconds()))


def _stands(mark: Mark, setting: str, accepted: Accepted, now: datetime) -> bool:
    is_own = mark.job == _OWN
    # A time to come is one from before the clock went back.
    if mark.what != (setting if is_own else _DENIED) or abs(now - mark.heard_at) > ENDS_AFTER:
        return False
    accepted_at = accepted.of_own_job if is_own else accepted.of_any_job
    return accepted_at is None or accepted_at < mark.heard_at


def _hold(job: JobKey, marks: Collection[Mark], same: Collection[Mark]) -> Hold:
    """Return what the marks of a job say. :param same: all that speak of the same fault."""
    last = max(marks, key=lambda each: (each.heard_at, each.entry_id))
    return Hold(
        job=job,
        entry_id=last.entry_id,
        heard_by=max(len(same), *(each.heard_by for each in same)),
        since=min(each.since for each in marks),
        heard_at=last.heard_at,
    )
