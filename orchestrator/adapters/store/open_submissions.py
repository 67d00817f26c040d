"""Open submissions, kept beside their entries, so that no change by SQL makes the app forget a run."""

from typing import Any

from orchestrator.adapters.store.session import Session
from orchestrator.core.states import Status

#: For ``last_error`` until the submission is settled.
_PUT_BACK = (
    "changed by SQL while its submission is open, and put back: its run, if there is one, is followed to its "
    "end; to let go of it, resolve the entry"
)


def keep_open(session: Session, entry_id: int, run_id: int | None) -> None:
    """Keep, beside the entry, that its submission is open, and its run as far as that is known."""
    if not session.changes_one("open_submission", run_id, entry_id):
        session.change("open_again", run_id, entry_id)


def put_back(session: Session, limit: int) -> int:
    """Make entries again what their open submissions say, and note runs whose entry was deleted.

    Return how many were changed.
    """
    session.change("open_from_now")
    session.change("close_settled")
    for row in session.rows("not_kept", limit):
        keep_open(session, row["id"], row["runid"])
    changed = sum(_put_back(session, row) for row in session.rows("changed_by_sql", limit))
    return changed + session.change("return_not_kept", limit) + session.change("ownerless")


def _put_back(session: Session, row: dict[str, Any]) -> bool:
    """Put an entry back, unless it or its open submission has changed once more; say whether it was."""
    run_id = row["runid"]
    status = Status.QUEUED if run_id is None else Status.RUNNING
    was = (row["submission"], row["workspace"], row["entry_guid"], run_id, run_id)
    seen = (row["id"], row["status_set"], row["submission_set"], row["submission"], run_id)
    if not session.changes_one("put_back", status, *was, status, status, status, _PUT_BACK, *seen):
        return False
    keep_open(session, row["id"], run_id)
    return True
