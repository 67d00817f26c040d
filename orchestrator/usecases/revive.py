"""Follow runs that somebody repaired: a run that was over is active again, so its entry is RUNNING again."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from orchestrator.core import run_requests
from orchestrator.core.errors import DatabricksError, InvalidEntry, RunNotFound
from orchestrator.core.models import ActiveRun, EndedRun, Entry, RepairRequest, Run
from orchestrator.core.outcomes import RunOutcome, has_ended_anew, outcome_of
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
_REPAIRED = "its run is active again: somebody repaired it in Databricks"


async def revive_repaired(
    store: Store,
    runs: Runs,
    workspace: str,
    active: Sequence[ActiveRun],
    *,
    jitter: Callable[[], float],
    address: str = "",
) -> list[str]:
    """Return every entry one of whose runs is active again to RUNNING, and the problems, one line each.

    Its last run comes first: only if that is over, an earlier one is followed. The list may be older than an
    entry's end, so each run is looked up before its entry is changed.

    :param active: the active runs of the workspace.
    :param jitter: gives a random order, so that each has its turn if there are more than a pass looks up.
    :param address: where the workspace is.
    :raises StoreError: the database is unavailable.
    """
    found = await store.ended_runs(workspace, [run.run_id for run in active], address=address)
    ended = sorted((each for each in found if _may_follow(each)), key=lambda _: jitter())
    limit = asyncio.Semaphore(_AT_ONCE)
    failures: list[DatabricksError] = []

    async def look_up(each: EndedRun) -> None:
        async with limit:
            try:
                await _revive_if_active(store, runs, each)
            except DatabricksError as error:
                failures.append(error)

    await gather_all(map(look_up, ended[:_BATCH]))
    if not failures:
        return []
    return [
        f"workspace {one_line(workspace)}: {len(failures)} of {len(ended)} runs that seem to be repaired "
        f"cannot be looked up: {failures[0]}"
    ]


async def revive_reported(
    store: Store, runs: Runs, workspace: str, run_id: int, *, address: str = ""
) -> Entry | None:
    """Return the entry that this run belongs to to RUNNING if the run is active, or has ended once more.

    A repair may be over before anybody has seen the run active again.

    :param address: where the workspace is.
    :returns: the entry as it is then, or None if nothing was changed.
    :raises DatabricksError: the run could not be read.
    :raises StoreError: the database is unavailable.
    """
    for ended in await store.ended_runs(workspace, [run_id], address=address):
        if not _may_follow(ended) or await _last_goes_on(runs, ended):
            continue
        run = await _read(runs, ended.entry, run_id)
        if run is None or not (
            _is_active(run) or has_ended_anew(run, await store.logs(ended.entry.id, run_id=run_id))
        ):
            continue
        if await _revive(store, ended.entry, run_id):
            return await store.running_run(workspace, run_id)
    return None


async def _revive_if_active(store: Store, runs: Runs, ended: EndedRun) -> None:
    if await _last_goes_on(runs, ended):
        await _revive(store, ended.entry, ended.entry.last_runid or 0)
        return
    run = await _read(runs, ended.entry, ended.run_id)
    if run is not None and _is_active(run):
        await _revive(store, ended.entry, ended.run_id)


async def _last_goes_on(runs: Runs, ended: EndedRun) -> bool:
    """Say whether this run is an earlier one of its entry, and the last one is active."""
    if ended.is_last:
        return False
    last = await _read(runs, ended.entry, ended.entry.last_runid or 0)
    return last is not None and _is_active(last)


def _may_follow(ended: EndedRun) -> bool:
    """Say whether no other run of an entry may be active: no call in doubt may have started one.

    A repair in doubt can only have made the last run active.
    """
    entry = ended.entry
    if entry.deliveries == 0:
        return True
    try:
        request = run_requests.thaw(entry)
    except InvalidEntry:
        return False
    return ended.is_last and isinstance(request, RepairRequest) and request.run_id == entry.last_runid


async def _read(runs: Runs, entry: Entry, run_id: int) -> Run | None:
    """Look up a run that an entry has had; None = it does not exist.

    :raises RunOfAnotherJob: Databricks shows one that cannot be it.
    :raises DatabricksError: it could not be read.
    """
    try:
        run = await runs.get_run(run_id)
    except RunNotFound:
        return None
    if run_id == entry.runid:  # otherwise the request is that of another submission
        run_requests.check_job(run, run_requests.requested_job_id(entry))
    return run


def _is_active(run: Run) -> bool:
    return outcome_of(run) is RunOutcome.ACTIVE


async def _revive(store: Store, entry: Entry, run_id: int) -> bool:
    if not await store.revive(entry, run_id, _REPAIRED):
        return False
    extra = fields("revived", entry, run_id=run_id, submission=entry.submission + 1)
    _logger.warning("entry %s: run %s is active again, RUNNING", entry.id, run_id, extra=extra)
    return True
