"""Follow runs that somebody repaired: a run that was over is active again, so its entry is RUNNING again."""

import asyncio
import logging
from collections.abc import Sequence

from orchestrator.core.decisions import RunOutcome, outcome_of
from orchestrator.core.errors import DatabricksError, RunNotFound
from orchestrator.core.models import ActiveRun, Entry
from orchestrator.core.redaction import one_line
from orchestrator.core.telemetry import fields
from orchestrator.ports import Runs, Store
from orchestrator.usecases.tasks import gather_all

_logger = logging.getLogger(__name__)

#: Runs looked up at the same time, far below the 100 ``runs/get`` per second that Databricks allows.
_AT_ONCE = 10

#: Runs looked up in one pass; people repair runs by hand, so the next pass does the rest.
_BATCH = 100

#: For ``last_error``, until the run is over again.
REPAIRED = "its run is active again: somebody repaired it in Databricks"


async def revive_repaired(store: Store, runs: Runs, workspace: str, active: Sequence[ActiveRun]) -> list[str]:
    """Return every entry whose last run is active again to RUNNING, and the problems, one line each.

    The list may be older than an entry's end, so each run is looked up before its entry is changed.

    :param active: the active runs of the workspace.
    :raises StoreError: the database is unavailable.
    """
    entries = await store.ended_runs(workspace, [run.run_id for run in active])
    limit = asyncio.Semaphore(_AT_ONCE)
    failures: list[DatabricksError] = []

    async def look_up(entry: Entry) -> None:
        async with limit:
            try:
                await revive_if_active(store, runs, entry)
            except DatabricksError as error:
                failures.append(error)

    await gather_all(map(look_up, entries[:_BATCH]))
    if not failures:
        return []
    problem = (
        f"workspace {one_line(workspace)}: {len(failures)} of {len(entries)} runs that seem to be repaired "
        f"cannot be looked up: {failures[0]}"
    )
    _logger.warning("%s", problem)
    return [problem]


async def revive_if_active(store: Store, runs: Runs, entry: Entry) -> bool:
    """Return an entry to RUNNING if Databricks says that its last run is active; say whether it was changed.

    :raises DatabricksError: the run could not be read.
    :raises StoreError: the database is unavailable.
    """
    if entry.last_runid is None:
        return False
    try:
        run = await runs.get_run(entry.last_runid)
    except RunNotFound:
        return False
    return outcome_of(run) is RunOutcome.ACTIVE and await revive(store, entry)


async def revive(store: Store, entry: Entry) -> bool:
    """Return an entry to RUNNING; say whether it was changed."""
    if not await store.revive(entry, REPAIRED):
        return False
    extra = fields("revived", entry, run_id=entry.last_runid, submission=entry.submission + 1)
    _logger.warning("entry %s: run %s is active again, RUNNING", entry.id, entry.last_runid, extra=extra)
    return True
