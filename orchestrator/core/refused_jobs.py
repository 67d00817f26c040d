"""Let entries wait while Databricks refuses a job for a reason that is not their own. Pure.

The job that the settings name and the permissions of the app's principal are no fault of an entry. Entries
that hear of a refusal keep it (in ``doubts``). A claim reads from them that one entry at a time is to try.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core import doubts
from orchestrator.core.errors import InvalidEntry, RequestRefused
from orchestrator.core.models import Entry, JobKey
from orchestrator.core.policy import WorkspacePolicy

#: So many entries that name their job themselves must have heard that a permission is missing before that is
#: taken for the principal's fault. One alone may name the wrong job.
DENIED_ENTRIES = 3

#: A call that was accepted this recently, in seconds, shows that the principal may run jobs here.
ACCEPTED_WITHIN_SECONDS = 3600.0

#: First and longest pause between two tries.
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 900.0

#: What an entry keeps: that the workspace's own job is refused, or the permission for a job of the entry's.
_SETTING = "SETTING"
_DENIED = "DENIED"

#: When the refusal was heard last.
_HEARD = "HEARD"


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An open entry that has heard a refusal."""

    entry_id: int
    #: :func:`setting_of` or :data:`_DENIED`
    what: str
    since: datetime
    heard_at: datetime
    #: when it may try again
    available_at: datetime

    @property
    def is_of_setting(self) -> bool:
        """Whether the job that the settings name is refused; otherwise the principal is."""
        return self.what != _DENIED


def setting_of(workspace: WorkspacePolicy) -> str:
    """Return what is refused when a workspace's own job is. Another job in the settings is another matter."""
    return f"{_SETTING} {workspace.job_name if workspace.job_id is None else workspace.job_id}"


def what_is_refused(
    entry: Entry, error: RequestRefused | InvalidEntry, workspace: WorkspacePolicy
) -> str | None:
    """Return what is refused beyond the entry itself; None = the refusal is the entry's own."""
    if not error.of_job:
        return None
    if JobKey(job_id=entry.job_id, job_name=entry.job_name) == JobKey():
        return setting_of(workspace)
    is_denied = isinstance(error, RequestRefused) and error.error_code == "PERMISSION_DENIED"
    return _DENIED if is_denied else None


def needs_others(what: str) -> bool:
    """Say whether other entries must have heard the same before it is believed."""
    return what == _DENIED


def marked(what: str, *, since: datetime, now: datetime) -> str:
    """Return what an entry keeps of a refusal."""
    return doubts.write({what: (1, since), _HEARD: (1, now)})


def read(entry_id: int, kept: str | None, available_at: datetime) -> Refused | None:
    """Return what an entry has kept of a refusal; None = nothing."""
    known = doubts.read(kept)
    what = next((key for key in known if key == _DENIED or key.startswith(f"{_SETTING} ")), None)
    if what is None or _HEARD not in known:
        return None
    return Refused(
        entry_id=entry_id,
        what=what,
        since=known[what][1],
        heard_at=known[_HEARD][1],
        available_at=available_at,
    )


def pause_seconds(since: datetime, now: datetime) -> float:
    """Return how long an entry waits: as long as the refusal has lasted, so twice as long each time."""
    return min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, (now - since).total_seconds()))


def held_setting(refused: Collection[Refused], setting: str) -> list[Refused]:
    """Return the entries that say that a workspace's own job is refused."""
    return [each for each in refused if each.what == setting]


def held_workspace(refused: Collection[Refused]) -> list[Refused]:
    """Return the entries that say that the principal may run no job; none if they are too few."""
    denied = [each for each in refused if each.what == _DENIED]
    return denied if len(denied) >= DENIED_ENTRIES else []


def tries(refused: Collection[Refused], now: datetime, *, under_way: int) -> int:
    """Return how many entries may try now whether the refusal still holds: one, after each pause."""
    if any(each.available_at > now for each in refused):
        return 0
    return max(0, 1 - under_way)
