"""Which jobs are refused for a reason that is not their entries' own, as the entries have heard."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from orchestrator.adapters.store.connector import as_utc
from orchestrator.adapters.store.records import read_entry, read_job_key
from orchestrator.adapters.store.session import Session
from orchestrator.core import refused_jobs
from orchestrator.core.health import Trouble, Troubled
from orchestrator.core.models import JobKey
from orchestrator.core.refused_jobs import Accepted, Hold


def holds_of(session: Session, workspace: str, setting: str, address: str) -> tuple[list[Hold], datetime]:
    """Return the refusals that stand in a workspace, and the database's time.

    :param setting: the workspace's own job (:func:`~orchestrator.core.refused_jobs.setting_of`).
    :param address: where the workspace is; what another address accepted says nothing.
    """
    now = session.now()
    rows = session.rows("refused", workspace)
    found = [refused_jobs.read(row["id"], read_job_key(row), row["doubts"]) for row in rows]
    marks = [each for each in found if each is not None]
    if not marks:
        return [], now
    rows = session.rows("last_accepted", workspace, address, workspace, address)
    accepted = Accepted(of_any_job=_last(rows, "of_any_job"), of_own_job=_last(rows, "of_own_job"))
    return refused_jobs.holds(marks, setting, accepted, now), now


def _last(rows: Iterable[dict[str, Any]], column: str) -> datetime | None:
    return max((time for row in rows if (time := as_utc(row[column])) is not None), default=None)


def tries_of(
    session: Session, workspace: str, setting: str, address: str, in_flight: Iterable[dict[str, Any]]
) -> dict[JobKey, int]:
    """Return of each job that is refused how many entries may try now.

    :param in_flight: the rows of the workspace's entries that hold a slot.
    """
    found, now = holds_of(session, workspace, setting, address)
    under_way = [read_job_key(row) for row in in_flight if row["runid"] is None]
    return {
        each.job: each.tries(now, under_way=under_way.count(each.job)) for each in found if each.is_believed
    }


def refused_in(session: Session, workspace: str, setting: str, address: str) -> list[Troubled]:
    """Return which entries of a workspace wait since their job is refused: one of each kind of fault."""
    found = [each for each in holds_of(session, workspace, setting, address)[0] if each.is_believed]
    if not found:
        return []
    waiting: dict[JobKey, int] = {}
    for row in session.rows("waiting_jobs", workspace):
        job = read_job_key(row)
        waiting[job] = waiting.get(job, 0) + int(row["entries"])
    kinds = {
        Trouble.SETTING_REFUSED: [each for each in found if each.is_of_setting],
        Trouble.PRINCIPAL_REFUSED: [each for each in found if not each.is_of_setting],
    }
    return [
        Troubled(
            trouble=trouble,
            entries=sum(waiting.get(each.job, 0) for each in same) or 1,  # or the one that tries
            example=example,
            known_since=min(each.since for each in same),
        )
        for trouble, same in kinds.items()
        if same
        for example in map(
            read_entry, session.rows("find_entry", max(same, key=lambda each: each.heard_at).entry_id)
        )
    ]
