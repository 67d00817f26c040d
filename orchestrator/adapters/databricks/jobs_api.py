"""The Jobs REST API without a network: build requests, interpret responses, and decide when to repeat. Pure.

A :class:`Request` knows how to read its response. :func:`interpret` turns a response into a :class:`Success`
or a :class:`Failure`. A failure is a value that says which error it is and what may remedy it, so that the
client only follows. :func:`pause` says how long to wait before a repetition, for example after a 429.
https://docs.databricks.com/api/workspace/jobs
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

from orchestrator.adapters.databricks import errors, fields, meanings, responses, task_responses
from orchestrator.adapters.databricks.errors import ErrorResponse
from orchestrator.adapters.databricks.meanings import About, Meaning
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
    Unauthorized,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Job, RepairRequest, Run, RunRequest
from orchestrator.core.parameter_secrets import secrets_in

_T = TypeVar("_T")

_JOBS = "/api/2.2/jobs"

#: Runs in a page. Greater than 0 and less than 25 fits every published reading of the limit.
_PAGE_LIMIT = 24

#: First back-off and the longest one, in seconds. Four tries then wait three seconds or so in all, which
#: outlasts the restart of a proxy; a longer outage is left to the next pass.
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Request(Generic[_T]):
    """What to send, apart from the host and the token, and how to read the response."""

    #: of the endpoint, for messages
    name: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    #: reads the JSON of a 2xx response; raises WorkspaceUnavailable when it lacks what it must have
    read: Callable[[fields.Json], _T]
    #: which refusals can be its own
    about: About = About.NOTHING
    #: texts that must not appear in a message
    hidden: tuple[str, ...] = field(default=(), repr=False)
    #: whether sending it twice has the effect of sending it once
    replayable: bool = True


class Remedy(Enum):
    """What may help after a failure."""

    NOTHING = "nothing"
    #: a fresh token, once
    RENEW = "renew"
    #: the same request after a wait; this one was refused unread
    WAIT = "wait"
    #: the same request after a wait; this one may have had its effect already
    REPLAY = "replay"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A response that is not a result, or no response."""

    error: DatabricksError
    remedy: Remedy = Remedy.NOTHING
    #: seconds that the server asked to wait
    retry_after: float | None = None
    #: the request was refused before it was read, so it had no effect
    unread: bool = False


@dataclass(frozen=True, kw_only=True)
class Success(Generic[_T]):
    """The result of a request."""

    value: _T


def run_now(run: RunRequest) -> Request[int]:
    """Start a run. Safe to repeat: for a token that Databricks knows it returns the first run's id."""
    return Request(
        name="run-now",
        method="POST",
        path=f"{_JOBS}/run-now",
        json={
            "job_id": run.job_id,
            "idempotency_token": run.idempotency_token,
            run.parameter_style: run.parameters,
            **run.options,
        },
        read=responses.parse_new_run,
        about=About.START,
        hidden=tuple(secrets_in(run.parameters)),
    )


def list_active_runs(page_token: str | None) -> Request[responses.ActiveRunsPage]:
    """Ask for one page of the active runs: the first page, or the one that a page token names."""
    query = {"active_only": "true", "limit": str(_PAGE_LIMIT)}
    if page_token is not None:
        query["page_token"] = page_token
    return Request(
        name="runs/list",
        method="GET",
        path=f"{_JOBS}/runs/list",
        query=query,
        read=responses.parse_active_runs,
    )


def repair_run(repair: RepairRequest) -> Request[int]:
    """Run the failed tasks of a run again, unless it was repaired since the caller looked.

    The request has no token, but repeating it starts nothing twice: while the repair runs Databricks refuses
    another one, and afterwards it refuses one that does not name the newest.
    """
    latest = {} if repair.latest_repair_id is None else {"latest_repair_id": repair.latest_repair_id}
    return Request(
        name="runs/repair",
        method="POST",
        path=f"{_JOBS}/runs/repair",
        json={
            "run_id": repair.run_id,
            "rerun_all_failed_tasks": True,
            repair.parameter_style: repair.parameters,
            **latest,
        },
        read=partial(responses.parse_id, name="repair_id"),
        about=About.REPAIR,
        hidden=tuple(secrets_in(repair.parameters)),
    )


def get_run(run_id: int, *, with_history: bool = False) -> Request[Run]:
    """Ask for a run, and for its repairs if the history is wanted."""
    return Request(
        name="runs/get",
        method="GET",
        path=f"{_JOBS}/runs/get",
        query={"run_id": str(run_id), **_history(with_history)},
        read=partial(responses.parse_run, asked=run_id, with_history=with_history),
        about=About.RUN,
    )


def get_task_page(
    run_id: int, page_token: str | None, *, with_history: bool = False
) -> Request[task_responses.TaskPage]:
    """Ask for one page of a run's tasks, or of the iterations if the run is that of a *For each* task.

    :param with_history: whether the page before was asked for with the repairs.
    """
    token = {} if page_token is None else {"page_token": page_token}
    return Request(
        name="runs/get",
        method="GET",
        path=f"{_JOBS}/runs/get",
        query={"run_id": str(run_id), **token, **_history(with_history)},
        read=partial(task_responses.parse_task_page, asked=run_id),
        about=About.RUN,
    )


def _history(wanted: bool) -> dict[str, str]:
    return {"include_history": "true"} if wanted else {}


def get_output(task_run_id: int) -> Request[task_responses.TaskOutput]:
    """Ask for the error and the result of a task run. Databricks refuses a run that has several tasks."""
    return Request(
        name="runs/get-output",
        method="GET",
        path=f"{_JOBS}/runs/get-output",
        query={"run_id": str(task_run_id)},
        read=partial(task_responses.parse_output, asked=task_run_id),
    )


def cancel_run(run_id: int) -> Request[None]:
    """Ask for a cancellation, which happens later."""
    return Request(
        name="runs/cancel",
        method="POST",
        path=f"{_JOBS}/runs/cancel",
        json={"run_id": run_id},
        read=lambda _: None,
        about=About.RUN,
    )


def get_job(job_id: int) -> Request[Job]:
    """Ask for a job's settings."""
    return Request(
        name="jobs/get",
        method="GET",
        path=f"{_JOBS}/get",
        query={"job_id": str(job_id)},
        read=partial(responses.parse_job, asked=job_id),
        about=About.JOB,
    )


def find_jobs(name: str, page_token: str | None) -> Request[responses.JobIdsPage]:
    """Ask for one page of the jobs of a name. Databricks ignores case, so the reader compares the names."""
    token = {} if page_token is None else {"page_token": page_token}
    return Request(
        name="jobs/list",
        method="GET",
        path=f"{_JOBS}/list",
        query={"name": name, "limit": str(_PAGE_LIMIT), **token},
        read=partial(responses.parse_job_ids, name=name),
        about=About.JOB,
    )


def create_job(*, name: str, notebook_path: str, max_concurrent_runs: int) -> Request[int]:
    """Create a job of one notebook task. Without a cluster Databricks uses serverless compute.

    This endpoint takes no idempotency token: a repeat after an uncertain response could create a second job.
    """
    return Request(
        name="jobs/create",
        method="POST",
        path=f"{_JOBS}/create",
        json={
            "name": name,
            "max_concurrent_runs": max_concurrent_runs,
            "queue": {"enabled": True},
            "tasks": [{"task_key": "main", "notebook_task": {"notebook_path": notebook_path}}],
        },
        read=partial(responses.parse_id, name="job_id"),
        about=About.JOB,
        replayable=False,
    )


#: What follows from a response: the class of its error, and what may help.
_REMEDIES: dict[Meaning, tuple[type[DatabricksError], Remedy]] = {
    Meaning.TROUBLE: (WorkspaceUnavailable, Remedy.REPLAY),
    Meaning.RATE: (WorkspaceUnavailable, Remedy.WAIT),
    Meaning.UNAUTHORIZED: (Unauthorized, Remedy.RENEW),
    Meaning.FORBIDDEN: (Unauthorized, Remedy.RENEW),
    Meaning.FULL: (NoCapacity, Remedy.NOTHING),
    Meaning.USED_UP: (TokenRunDeleted, Remedy.NOTHING),
    Meaning.RUN_GONE: (RunNotFound, Remedy.NOTHING),
    Meaning.IMPOSSIBLE: (RequestRefused, Remedy.NOTHING),
    Meaning.REFUSED: (RequestRefused, Remedy.NOTHING),
    Meaning.DENIED: (RequestRefused, Remedy.RENEW),
    Meaning.STILL_IN_DOUBT: (WorkspaceUnavailable, Remedy.NOTHING),
    Meaning.ELSEWHERE: (WorkspaceUnavailable, Remedy.NOTHING),
    Meaning.NOT_UNDERSTOOD: (WorkspaceUnavailable, Remedy.NOTHING),
}
#: The request was refused before it was read.
_UNREAD = frozenset({Meaning.RATE, Meaning.UNAUTHORIZED})
#: Requests that start something.
_STARTS = frozenset({About.START, About.REPAIR})
#: The workspace has read the request, and its answer stays unexplained.
_ANSWERED = frozenset({Meaning.FORBIDDEN, Meaning.NOT_UNDERSTOOD})
_STILL_IN_DOUBT = " (an earlier try got no usable response and may have had its effect)"


def interpret(
    request: Request[_T], response: Response, *, secrets: Sequence[str], in_doubt: bool = False
) -> Success[_T] | Failure:
    """Read a response. Never raises, whatever the body holds.

    :param secrets: the access token that was sent and earlier ones, so that no text shows them.
    :param in_doubt: an earlier try of this request may have had its effect. A refusal then speaks of this try
        only, and must not make the caller believe that nothing was started.
    """
    if not 200 <= response.status < 300:
        error = errors.read_error(response, name=request.name, hidden=(*request.hidden, *secrets))
        meaning = meanings.meaning_of(error, request.about, in_doubt=in_doubt)
        return _failure(error, meaning, is_answer=not (in_doubt and request.about in _STARTS))
    content = fields.json_object(errors.without_secrets(response.body, secrets))
    if content is None:
        return no_response(request, "the body is not a JSON object", secrets=secrets, status=response.status)
    try:
        return Success(value=request.read(content))
    except WorkspaceUnavailable as error:
        unusable = WorkspaceUnavailable(_text(request, error, content, secrets), status=response.status)
        unusable.answered = request.method == "GET"  # what a POST has done is in doubt
        return Failure(error=unusable)
    except RequestRefused as error:
        text = _text(request, error, content, secrets)
        if in_doubt:
            return Failure(error=WorkspaceUnavailable(text + _STILL_IN_DOUBT, status=response.status))
        refusal = type(error)(
            text, status=response.status, error_code=error.error_code, permanent=error.permanent
        )
        return Failure(error=refusal)


def _text(request: Request[Any], error: DatabricksError, content: fields.Json, secrets: Sequence[str]) -> str:
    """Return the text of a 2xx response that cannot be used, with what it says itself."""
    words = errors.words_of(content, (*request.hidden, *secrets))
    return f"Databricks {request.name}: {error}{words}"


def no_response(request: Request[Any], reason: str, *, secrets: Sequence[str], status: int = 0) -> Failure:
    """Return the failure of a request that got nothing usable: no connection, a time-out, a broken body."""
    text = f"Databricks {request.name}: {errors.shown(reason, (*request.hidden, *secrets))}"
    return Failure(error=WorkspaceUnavailable(text, status=status), remedy=Remedy.REPLAY)


def too_long(request: Request[Any], limit: int) -> Failure:
    """Return the failure of a response that is too long for memory; another try would bring the same."""
    return Failure(
        error=WorkspaceUnavailable(f"Databricks {request.name}: the response has more than {limit} bytes")
    )


def held_back(
    request: Request[Any], refusal: DatabricksError | None, *, seconds: float, in_doubt: bool
) -> WorkspaceUnavailable:
    """Return the error of a request that is not sent, because another one has just been refused for the rate.

    :param refusal: of the other request.
    :param seconds: until the endpoint may be called again.
    """
    error = WorkspaceUnavailable(
        f"Databricks {request.name}: not called for {seconds:.0f} s, because of an earlier answer: {refusal}",
        status=refusal.status if refusal else 0,
        error_code=refusal.error_code if refusal else "",
    )
    error.in_doubt, error.retry_after = in_doubt, seconds
    return error


def may_repeat(request: Request[Any], failure: Failure) -> bool:
    """Say whether the same request may be sent again after this failure."""
    return failure.remedy is Remedy.WAIT or (failure.remedy is Remedy.REPLAY and request.replayable)


def pause(failure: Failure, *, tries: int, jitter: float) -> float:
    """Return the seconds to wait before the next try: what the server asked for, or a growing back-off.

    :param tries: how many failed already.
    :param jitter: 0 to 1; spreads callers that failed at the same moment.
    """
    backoff: float = min(_FIRST_BACKOFF_SECONDS * 2.0 ** (tries - 1), _LONGEST_BACKOFF_SECONDS)
    if failure.retry_after is not None:
        return failure.retry_after + backoff * jitter
    return backoff * (1 + jitter) / 2


def final_error(failure: Failure, *, in_doubt: bool) -> DatabricksError:
    """Return the error to raise after the last try.

    :param in_doubt: an earlier try of this request may have had its effect.
    """
    error = failure.error
    if isinstance(error, WorkspaceUnavailable):
        error.in_doubt = in_doubt or not failure.unread
        error.retry_after = failure.retry_after
    return error


def _failure(response: ErrorResponse, meaning: Meaning, *, is_answer: bool) -> Failure:
    """Return what follows from a response.

    :param is_answer: it speaks of the whole operation. False = an earlier try may have started something.
    """
    kind, remedy = _REMEDIES[meaning]
    text = response.text + (_STILL_IN_DOUBT if meaning is Meaning.STILL_IN_DOUBT else "")
    error = _error(kind, text, response, permanent=meaning is Meaning.IMPOSSIBLE)
    if isinstance(error, WorkspaceUnavailable):
        error.answered = is_answer and meaning in _ANSWERED
    return Failure(error=error, remedy=remedy, retry_after=response.retry_after, unread=meaning in _UNREAD)


def _error(
    kind: type[DatabricksError], text: str, response: ErrorResponse, *, permanent: bool
) -> DatabricksError:
    if issubclass(kind, RequestRefused):
        refusal = kind(text, status=response.status, error_code=response.label, permanent=permanent)
        refusal.is_worded = meanings.names_something(response)
        # A token whose run was deleted says nothing of the job.
        refusal.of_job = kind is not TokenRunDeleted and meanings.is_of_job(response)
        return refusal
    return kind(text, status=response.status, error_code=response.label)
