"""Stray runs: Databricks told of them when their entries had gone on without them, so they are cancelled."""

import logging
from collections.abc import Sequence

from orchestrator.core.errors import DatabricksError, RunNotFound
from orchestrator.core.models import StrayRun
from orchestrator.core.outcomes import RunOutcome, outcome_of
from orchestrator.core.time_limits import heeds_no_cancellation, is_young
from orchestrator.ports import Runs, Store

_logger = logging.getLogger(__name__)


async def cancel_strays(store: Store, runs: Runs, strays: Sequence[StrayRun]) -> None:
    """Cancel stray runs, and forget those that are over.

    What goes on is cancelled again in the next pass. It is a reason in health if it cannot be cancelled.

    :raises StoreError: the database is unavailable.
    """
    for stray in strays:
        try:
            if not await _is_active(store, runs, stray):
                continue
        except DatabricksError as error:
            _logger.info("run %s of entry %s cannot be read: %s", stray.run_id, stray.entry_id, error)
        try:
            await runs.cancel(stray.run_id)
        except DatabricksError as error:
            _logger.warning("run %s of entry %s goes on: %s", stray.run_id, stray.entry_id, error)
            await store.stray_goes_on(stray, str(error))
        else:
            is_unheeded = heeds_no_cancellation(stray.since, await store.now())
            problem = "cancelled again and again, without effect" if is_unheeded else None
            await store.stray_goes_on(stray, problem)


async def stray_that_goes_on(store: Store, runs: Runs, strays: Sequence[StrayRun]) -> StrayRun | None:
    """Return one of these runs that is not known to be over, or None.

    :raises DatabricksError: one could not be read.
    :raises StoreError: the database is unavailable.
    """
    for stray in strays:
        if await _is_active(store, runs, stray):
            return stray
    return None


async def _is_active(store: Store, runs: Runs, stray: StrayRun) -> bool:
    """Say whether a run may go on; one that is over is forgotten."""
    try:
        if outcome_of(await runs.get_run(stray.run_id)) is RunOutcome.ACTIVE:
            return True
    except RunNotFound:
        if is_young(stray.since, await store.now()):
            return True
    await store.forget_stray(stray)
    return False
