"""Stray runs: Databricks told of them when their entries had gone on without them, so they are cancelled."""

import logging
from collections.abc import Sequence
from datetime import datetime

from orchestrator.core.errors import DatabricksError, RunNotFound
from orchestrator.core.models import StrayRun
from orchestrator.core.outcomes import RunOutcome, outcome_of
from orchestrator.core.time_limits import heeds_no_cancellation, is_young, may_cancel_stray
from orchestrator.ports import Runs, Store

_logger = logging.getLogger(__name__)


#: When this process last asked Databricks to cancel which run of a workspace. Whoever does not know asks once
#: more, which does no harm.
Asked = dict[tuple[str, int], datetime]


async def cancel_strays(
    store: Store, runs: Runs, strays: Sequence[StrayRun], asked: Asked | None = None
) -> None:
    """Cancel stray runs, and forget those that are over.

    What goes on is cancelled again in later passes, with growing pauses. It is a reason in health if it
    cannot be cancelled.

    :param asked: the earlier calls; this one is added.
    :raises StoreError: the database is unavailable.
    """
    asked = {} if asked is None else asked
    for stray in strays:
        key = stray.workspace, stray.run_id
        try:
            if not await _is_active(store, runs, stray):
                asked.pop(key, None)
                continue
        except DatabricksError as error:
            _logger.info("run %s of entry %s cannot be read: %s", stray.run_id, stray.entry_id, error)
        now = await store.now()
        if may_cancel_stray(stray.since, asked.get(key), now):
            asked[key] = now
            await _cancel(store, runs, stray, now)


async def _cancel(store: Store, runs: Runs, stray: StrayRun, now: datetime) -> None:
    try:
        await runs.cancel(stray.run_id)
    except DatabricksError as error:
        _logger.warning("run %s of entry %s goes on: %s", stray.run_id, stray.entry_id, error)
        await store.stray_goes_on(stray, str(error))
    else:
        is_unheeded = heeds_no_cancellation(stray.since, now)
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
