"""Run the failed tasks of a run again, at most once for a submission.

``runs/repair`` takes no token. What guards it is the history of repairs, which the run itself keeps: a
request names the newest repair that it knows, and Databricks refuses it while the run is active or once there
is a newer repair. So a call whose outcome is not known is never simply repeated: first the run is read, and a
repair that has begun since the request was fixed counts as this submission's, whoever asked for it.
"""

from orchestrator.core.errors import RequestRefused, RunNotFound, TokenRunDeleted, WorkspaceUnavailable
from orchestrator.core.models import RepairRequest
from orchestrator.core.outcomes import RunOutcome, outcome_of
from orchestrator.ports import Runs


async def repair_run(runs: Runs, request: RepairRequest, *, in_doubt: bool) -> int:
    """Repair a run, or find that it was repaired since the request was fixed; return its id.

    :param in_doubt: an earlier call with this request may have been accepted.
    :raises TokenRunDeleted: the run does not exist, so no call can have made it active.
    :raises RequestRefused: the run cannot be repaired, and this request has started nothing.
    :raises WorkspaceUnavailable: whether it has started anything is not known.
    """
    try:
        if in_doubt and await _was_repaired(runs, request):
            return request.run_id
        await _repair(runs, request)
    except RunNotFound as error:
        raise TokenRunDeleted(
            str(error), status=error.status, error_code=error.error_code, permanent=False
        ) from None
    return request.run_id


async def _repair(runs: Runs, request: RepairRequest) -> None:
    try:
        await runs.repair(request)
    except WorkspaceUnavailable as error:
        # A definite answer that Databricks' documents do not explain: the run itself tells what became of it.
        if not error.answered or await _was_repaired(runs, request):
            raise
        raise RequestRefused(
            str(error), status=error.status, error_code=error.error_code, permanent=False
        ) from None
    except RequestRefused:
        if not await _was_repaired(runs, request):
            raise


async def _was_repaired(runs: Runs, request: RepairRequest) -> bool:
    run = await runs.get_run(request.run_id, with_history=True)
    return run.latest_repair_id != request.latest_repair_id or outcome_of(run) is RunOutcome.ACTIVE
