"""Stray runs: Databricks told of them when their entries had gone on without them, so they are cancelled."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from orchestrator.core.errors import DatabricksError, RunNotFound, RunOfAnotherJob
from orchestrator.core.models import StrayRun
from orchestrator.core.outcomes import RunOutcome, outcome_of
from orchestrator.core.run_requests import check_job
from orchestrator.core.time_limits import heeds_no_cancellation, is_young, may_cancel_stray
from orchestrator.ports import Runs, Store

_logger = logging.getLogger(__name__)


def in_turn(strays: Iterable[StrayRun], now: datetime) -> list[StrayRun]:
    """Return stray runs in the order in which they are looked at, so that none waits for ever.

    Those that are to be cancelled now come first, and of them those that were not asked about for longest.
    """
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(strays, key=lambda each: (not may_cancel_stray(each, now), each.asked_at or never))


async def cancel_strays(store: Store, runs: Runs, strays: Sequence[StrayRun]) -> None:
    """Cancel stray runs, and forget those that are over.

    What goes on is cancelled again in later passes, with growing pauses. It is a reason in health if it
    cannot be cancelled, or if Databricks shows a run of another job in its place, which is left alone.

    :raises StoreError: the database is unavailable.
    """
    for stray in strays:
        try:
            if not await _is_active(store, runs, stray):
                continue
        except RunOfAnotherJob as error:
            if str(error) != stray.problem or may_cancel_stray(stray, await store.now()):
                await store.stray_goes_on(stray, str(error))
            continue
        except DatabricksError as error:
            _logger.info("run %s of entry %s cannot be read: %s", stray.run_id, stray.entry_id, error)
        now = await store.now()
        if may_cancel_stray(stray, now):
            await _cancel(store, runs, stray, now)


async def _cancel(store: Store, runs: Runs, stray: StrayRun, now: datetime) -> None:
    # Noted first: a call that hangs until the pass is over must not keep it at the head of the others.
    await store.stray_goes_on(stray, stray.problem)
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
    """Say whether a run may go on; one that is over is forgotten.

    :raises RunOfAnotherJob: Databricks shows one that goes on and cannot be it.
    :raises DatabricksError: it could not be read.
    """
    try:
        run = await runs.get_run(stray.run_id)
        if outcome_of(run) is RunOutcome.ACTIVE:
            check_job(run, stray.job_id)
            return True
    except RunNotFound:
        if is_young(stray.since, await store.now()):
            return True
    await store.forget_stray(stray)
    return False
