"""Run the failed tasks of a run again, at most once for a submission.

``runs/repair`` takes no token. What guards it is the history of repairs, which the run itself keeps: a
request names the newest repair that it knows, and Databricks refuses it while the run is active or once there
is a newer repair. So a call whose outcome is not known is never simply repeated: first the run is read, and a
repair that has begun since the request was fixed counts as this submission's, whoever asked for it.

A repair that keeps failing is given up in two steps, so that no new run begins beside a repaired one. First
no call is made any more: the submission is *quiet*, and since when is kept with its request. The run is still
read. Once the last call is too old to arrive, and too old to be hidden by what ``runs/get`` may still show,
and the run shows no repair, none has begun.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from orchestrator.core.errors import RequestRefused, RunNotFound, TokenRunDeleted, WorkspaceUnavailable
from orchestrator.core.models import RepairRequest
from orchestrator.core.outcomes import RunOutcome, outcome_of
from orchestrator.ports import Runs

#: A call is not made when its submission was begun longer ago: the process was held up, and another delivery
#: may have gone quiet since.
LATEST_CALL_SECONDS = 120.0

#: How long a submission is quiet. A call is made within two minutes and takes 90 s at most, and ``runs/get``
#: may show the old end of a run for some minutes after its repair began.
QUIET = timedelta(minutes=10)

#: A repair takes longer than this. A server may tell the same end of a run a little differently.
_SAME_END = timedelta(seconds=1)


async def repair_run(
    runs: Runs, request: RepairRequest, *, in_doubt: bool, is_wanted: bool, is_late: Callable[[], bool]
) -> int:
    """Repair a run, or find that it was repaired since the request was fixed; return its id.

    :param in_doubt: an earlier call with this request may have been accepted.
    :param is_wanted: False = the entry's cancellation was asked for: only look what an earlier call did.
    :param is_late: says whether the submission was begun too long ago for a call.
    :raises TokenRunDeleted: the run does not exist, so no call can have made it active.
    :raises RequestRefused: the run cannot be repaired, or the submission is quiet. As far as the run shows,
        nothing was started.
    :raises WorkspaceUnavailable: whether anything was started is not known.
    """
    try:
        if in_doubt and await was_repaired(runs, request):
            return request.run_id
        if request.quiet_since is not None or not is_wanted:
            text = f"run {request.run_id} shows no repair, and none is asked for any more"
            raise RequestRefused(text, status=0, error_code="", permanent=False)
        if is_late():
            raise _late(request)
        await _repair(runs, request)
    except RunNotFound as error:
        raise TokenRunDeleted(
            str(error), status=error.status, error_code=error.error_code, permanent=False
        ) from None
    return request.run_id


async def was_repaired(runs: Runs, request: RepairRequest) -> bool:
    """Say whether a run was repaired, by whomever, since its request was fixed.

    Raises what :meth:`Runs.get_run` raises.
    """
    run = await runs.get_run(request.run_id, with_history=True)
    if run.latest_repair_id != request.latest_repair_id or outcome_of(run) is RunOutcome.ACTIVE:
        return True
    # A server without a history shows a repair that is over by its end alone.
    if run.finished_at is None or request.ended_at is None:
        return False
    return run.finished_at - request.ended_at > _SAME_END


def is_quiet_for_long(request: RepairRequest, now: datetime) -> bool:
    """Say whether no call of a quiet submission can arrive any more.

    :param now: by the database's clock.
    """
    return request.quiet_since is not None and now - request.quiet_since >= QUIET


async def _repair(runs: Runs, request: RepairRequest) -> None:
    try:
        await runs.repair(request)
    except WorkspaceUnavailable as error:
        # A definite answer that Databricks' documents do not explain: the run itself tells what became of it.
        if not error.answered or await was_repaired(runs, request):
            raise
        raise RequestRefused(
            str(error), status=error.status, error_code=error.error_code, permanent=False
        ) from None
    except RequestRefused:
        if not await was_repaired(runs, request):
            raise


def _late(request: RepairRequest) -> WorkspaceUnavailable:
    error = WorkspaceUnavailable(
        f"the process was held up before it could ask to repair run {request.run_id}"
    )
    error.in_doubt = False
    return error
