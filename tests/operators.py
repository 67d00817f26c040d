"""What an operator does to one entry, as the app's own statements do it: retry, restart, resolve."""

from orchestrator.adapters.store.records import NO_LIMIT, log_values, read_entry
from orchestrator.adapters.store.session import Session
from orchestrator.core.models import Entry, LogRow
from orchestrator.core.states import Status

#: The entry may be in any state and at any submission.
_ANYTHING = (0, NO_LIMIT, *Status)


def retry(session: Session, entry_id: int, mode: str | None) -> bool:
    """Run an entry again; say whether it was changed.

    :param mode: ``run`` or ``repair``; None = as the entry says.
    """
    return any(session.change(name, mode, entry_id, *_ANYTHING) for name in ("retry", "retry_now"))


def restart(session: Session, entry_id: int) -> bool:
    """Have the live run of an entry cancelled and another one begun; say whether there is a live run."""
    return session.change("restart", None, entry_id, *_ANYTHING) == 1


def resolve(session: Session, entry_id: int, to: Status) -> Entry | None:
    """Settle an entry by hand; return it, or None if it is in that state already."""
    rows = session.rows("resolve", to, "by hand", entry_id, to, *_ANYTHING)
    if not rows:
        return None
    entry = read_entry(rows[0])
    log = LogRow(
        entry_id=entry.id,
        submission=entry.submission,
        attempt=entry.attempt,
        status=to,
        message="by hand",
    )
    session.change("insert_log", *log_values(log))
    return entry
