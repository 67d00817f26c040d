"""The Jobs REST API without a network: builds requests and reads answers. Pure.

A :class:`Call` is one request together with the way to read its answer. :func:`interpret` turns an answer
into a :class:`Success` or a :class:`Failure`; a failure is a value that says which error it is and what may
help against it, so that the transport only obeys. https://docs.databricks.com/api/workspace/jobs
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

from orchestrator.adapters.databricks import errors, responses
from orchestrator.adapters.databricks.errors import Answer, Problem
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    RequestRefused,
    Unauthorized,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Job, Run, RunFailure, RunRequest

T = TypeVar("T")

_JOBS = "/api/2.2/jobs"

#: Runs a page. Greater than 0 and less than 25 fits every published reading of the limit.
PAGE_LIMIT = 24

#: First back-off and the longest one, in seconds: four tries then wait three seconds or so in all, which
#: outlasts a restart of a proxy; a longer outage is for the next pass.
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent, apart from the host and the token."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """A request and how to read its answer."""

    #: for messages
    name: str
    request: Request
    #: reads the JSON of a good answer; raises WorkspaceUnavailable when it has a wrong shape
    read: Callable[[responses.Json], T]
    #: tells whether a 4xx is a definite no to this one call, and which
    refusal: Callable[[Problem], DatabricksError | None] = errors.never_refused
    #: texts that must not come back in a message
    hidden: tuple[str, ...] = field(default=(), repr=False)
    #: sending it twice has the effect of sending it once
    replayable: bool = True


class Remedy(Enum):
    """What may help against a failure."""

    NOTHING = "nothing"
    #: a freshly fetched token, once
    RENEW = "renew"
    #: the same again after a while; the request was turned away unread
    WAIT = "wait"
    #: the same again after a while; the request may have had its effect already
    REPLAY = "replay"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An answer that is not a result, or no answer."""

    error: DatabricksError
    remedy: Remedy = Remedy.NOTHING
    #: seconds that the server asked to wait
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Success(Generic[T]):
    """The result of a call."""

    value: T


def run_now(request: RunRequest) -> Call[int]:
    """Start a run. Safe to repeat: for a token that Databricks knows it answers with the first run's id."""
    values = request.parameters
    body = {
        "job_id": request.job_id,
        "idempotency_token": request.idempotency_token,
        request.parameter_style: values,
    }
    return Call(
        name="run-now",
        request=Request(method="POST", path=f"{_JOBS}/run-now", json=body),
        read=partial(responses.parse_id, name="run_id"),
        refusal=errors.submission_refused,
        hidden=tuple(values.values() if isinstance(values, dict) else values),
    )


def list_active_runs(page_token: str | None) -> Call[responses.Page]:
    """Ask for one page of the active runs, the first without a page token."""
    query = {"active_only": "true", "limit": str(PAGE_LIMIT)}
    if page_token is not None:
        query["page_token"] = page_token
    request = Request(method="GET", path=f"{_JOBS}/runs/list", query=query)
    return Call(name="runs/list", request=request, read=responses.parse_page)


def get_run(run_id: int) -> Call[Run]:
    """Ask for a run."""
    request = Request(method="GET", path=f"{_JOBS}/runs/get", query={"run_id": str(run_id)})
    return Call(name="runs/get", request=request, read=responses.parse_run, refusal=errors.run_missing)


def get_output(task_run_id: int) -> Call[RunFailure]:
    """Ask for the error of a task run (a run with several tasks is refused)."""
    request = Request(method="GET", path=f"{_JOBS}/runs/get-output", query={"run_id": str(task_run_id)})
    return Call(name="runs/get-output", request=request, read=responses.parse_output)


def cancel_run(run_id: int) -> Call[None]:
    """Ask for a cancellation, which happens later."""
    request = Request(method="POST", path=f"{_JOBS}/runs/cancel", json={"run_id": run_id})
    return Call(name="runs/cancel", request=request, read=lambda _: None, refusal=errors.run_missing)


def get_job(job_id: int) -> Call[Job]:
    """Ask for a job's settings."""
    request = Request(method="GET", path=f"{_JOBS}/get", query={"job_id": str(job_id)})
    return Call(name="jobs/get", request=request, read=responses.parse_job, refusal=errors.job_refused)


def create_job(*, name: str, notebook_path: str, max_concurrent_runs: int) -> Call[int]:
    """Create a job of one notebook task. Without a cluster Databricks uses serverless compute.

    This endpoint takes no idempotency token: a repeat after an uncertain answer could make a second job.
    """
    body = {
        "name": name,
        "max_concurrent_runs": max_concurrent_runs,
        "queue": {"enabled": True},
        "tasks": [{"task_key": "main", "notebook_task": {"notebook_path": notebook_path}}],
    }
    return Call(
        name="jobs/create",
        request=Request(method="POST", path=f"{_JOBS}/create", json=body),
        read=partial(responses.parse_id, name="job_id"),
        refusal=errors.job_refused,
        replayable=False,
    )


def interpret(call: Call[T], answer: Answer, *, token: str) -> Success[T] | Failure:
    """Read an answer. Never raises, whatever the body holds.

    :param token: the access token that was sent, so that it is shown nowhere.
    """
    if not 200 <= answer.status < 300:
        problem = errors.read_problem(answer, name=call.name, hidden=(*call.hidden, token))
        return _failure(call, problem)
    content = errors.json_object(errors.without_token(answer.body, token))
    if content is None:
        return no_answer(call, "the answer is not a JSON object", token=token, status=answer.status)
    try:
        return Success(value=call.read(content))
    except WorkspaceUnavailable as error:
        return Failure(error=WorkspaceUnavailable(f"Databricks {call.name}: {error}", status=answer.status))


def no_answer(call: Call[Any], reason: str, *, token: str, status: int = 0) -> Failure:
    """Nothing usable came back: connection, time-out or a broken body."""
    text = f"Databricks {call.name}: {errors.shown(reason, (*call.hidden, token))}"
    return Failure(error=WorkspaceUnavailable(text, status=status), remedy=Remedy.REPLAY)


def too_long(call: Call[Any], limit: int) -> Failure:
    """More came back than is read into memory; asking again would bring the same."""
    return Failure(
        error=WorkspaceUnavailable(f"Databricks {call.name}: the answer has more than {limit} bytes")
    )


def may_repeat(call: Call[Any], failure: Failure) -> bool:
    """Whether the same request may be sent again after this failure."""
    return failure.remedy is Remedy.WAIT or (failure.remedy is Remedy.REPLAY and call.replayable)


def pause(failure: Failure, *, attempt: int, jitter: float) -> float:
    """Seconds to wait after a failed attempt: what the server asked for, else longer each time.

    :param attempt: 1 after the first.
    :param jitter: 0 to 1; spreads callers that failed at the same moment.
    """
    backoff: float = min(_FIRST_BACKOFF_SECONDS * 2.0 ** (attempt - 1), _LONGEST_BACKOFF_SECONDS)
    if failure.retry_after is not None:
        return failure.retry_after + backoff * jitter
    return backoff * (1 + jitter) / 2


def settle(call: Call[Any], failure: Failure, *, in_doubt: bool) -> DatabricksError:
    """The error to raise in the end.

    :param in_doubt: an earlier try of this call may have had its effect. Then a definite no speaks of the
        last try only, and must not let the caller believe that nothing was started.
    """
    error = failure.error
    if isinstance(error, WorkspaceUnavailable):
        # Turned away unread, for its rate or its token, and never sent before: then it had no effect.
        error.in_doubt = in_doubt or failure.remedy not in {Remedy.WAIT, Remedy.RENEW}
    if in_doubt and call.request.method == "POST" and isinstance(error, RequestRefused | NoCapacity):
        return WorkspaceUnavailable(
            f"{error} (an earlier try got no usable answer and may have had its effect)",
            status=error.status,
            error_code=error.error_code,
        )
    return error


def _failure(call: Call[Any], problem: Problem) -> Failure:
    unavailable = problem.error(WorkspaceUnavailable)
    if problem.transient:
        return Failure(error=unavailable, remedy=Remedy.REPLAY, retry_after=problem.retry_after)
    refused = None if problem.about_credentials else call.refusal(problem)
    if refused is not None:
        return Failure(error=refused, remedy=Remedy.RENEW if problem.denied else Remedy.NOTHING)
    if problem.about_credentials or problem.denied:
        return Failure(error=problem.error(Unauthorized), remedy=Remedy.RENEW)
    if problem.throttled:
        return Failure(error=unavailable, remedy=Remedy.WAIT, retry_after=problem.retry_after)
    return Failure(error=unavailable)
