"""Requests are built and responses are interpreted, without a network."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.databricks import jobs_api
from orchestrator.adapters.databricks.jobs_api import Failure, Remedy, Request, Success
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    NoRunNamed,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
    Unauthorized,
    WorkspaceUnavailable,
)
from orchestrator.core.models import RunRequest
from tests.databricks.support import CANARY, REQUEST

RUN_NOW = jobs_api.run_now(REQUEST)
REQUESTS: dict[str, Request[Any]] = {
    "run-now": RUN_NOW,
    "list": jobs_api.list_active_runs(None),
    "get": jobs_api.get_run(11),
    "tasks": jobs_api.get_task_page(11, "b"),
    "output": jobs_api.get_output(12),
    "cancel": jobs_api.cancel_run(11),
    "job": jobs_api.get_job(7),
    "create": jobs_api.create_job(name="n", notebook_path="/n", max_concurrent_runs=5),
}


def body(error_code: str, message: str = "") -> bytes:
    return json.dumps({"error_code": error_code, "message": message, "details": []}).encode()


def read(request: Request[Any], status: int, content: bytes, **headers: str) -> Success[Any] | Failure:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return jobs_api.interpret(
        request, Response(status=status, headers=names, body=content), secrets=(CANARY,)
    )


def failure(request: Request[Any], status: int, content: bytes, **headers: str) -> Failure:
    result = read(request, status, content, **headers)
    assert isinstance(result, Failure)
    return result


@pytest.mark.parametrize(
    ("style", "parameters"),
    [
        ("notebook_params", {"table_name": "sales"}),
        ("job_parameters", {"table_name": "sales"}),
        ("python_params", ["--table", "sales"]),
    ],
)
def test_run_now_sends_one_parameter_style(style: str, parameters: Any) -> None:
    request = jobs_api.run_now(
        RunRequest(job_id=1, idempotency_token="g-1", parameter_style=style, parameters=parameters)
    )
    assert request.json == {"job_id": 1, "idempotency_token": "g-1", style: parameters}
    assert "sales" not in repr(request)


def test_only_create_may_not_be_replayed() -> None:
    assert [name for name, request in REQUESTS.items() if not request.replayable] == ["create"]


OAUTH = "Unable to load OAuth Config"
MOVED = "the workspace is being moved"
NO_WORKSPACE = "Workspace 7 does not exist"
NOT_PUBLIC = "Public access is not allowed for workspace: 7"
ALREADY = "There are already 5 active runs (limit: 5)."
TOKEN_GONE = "idempotency_token g-1: no longer exists"
GONE = "Run 11 does not exist."
GONE_TOO = "Run: 11 in job: 7 doesn't exist"
EXPIRING = "Token is expiring within 30 seconds. (token expired)"

#: request, status, body → error, its remedy
ANSWERS: list[tuple[str, int, bytes, type[DatabricksError], Remedy]] = [
    # capacity and rate
    ("run-now", 429, body("REQUEST_LIMIT_EXCEEDED", ALREADY), NoCapacity, Remedy.NOTHING),
    ("run-now", 429, body("", ALREADY), NoCapacity, Remedy.NOTHING),
    ("run-now", 429, body("QUOTA_EXCEEDED", "limit"), NoCapacity, Remedy.NOTHING),
    ("run-now", 400, body("QUOTA_EXCEEDED", "limit"), NoCapacity, Remedy.NOTHING),
    ("run-now", 429, body("REQUEST_LIMIT_EXCEEDED", "slow down"), WorkspaceUnavailable, Remedy.WAIT),
    ("run-now", 429, body("RESOURCE_EXHAUSTED"), WorkspaceUnavailable, Remedy.WAIT),
    ("run-now", 400, body("RESOURCE_EXHAUSTED"), WorkspaceUnavailable, Remedy.WAIT),
    ("run-now", 429, b"", WorkspaceUnavailable, Remedy.WAIT),
    ("run-now", 425, b"", WorkspaceUnavailable, Remedy.WAIT),
    ("list", 429, body("QUOTA_EXCEEDED"), WorkspaceUnavailable, Remedy.WAIT),
    ("get", 429, body("REQUEST_LIMIT_EXCEEDED", ALREADY), WorkspaceUnavailable, Remedy.WAIT),
    ("create", 429, body("RESOURCE_EXHAUSTED"), WorkspaceUnavailable, Remedy.WAIT),
    # transient
    ("run-now", 500, body("INTERNAL_ERROR"), WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 500, body("TEMPORARILY_UNAVAILABLE"), WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 503, b"<html>maintenance", WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 504, body("INVALID_PARAMETER_VALUE"), WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 400, body("COULD_NOT_ACQUIRE_LOCK"), WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 408, b"", WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 409, body("RESOURCE_CONFLICT"), WorkspaceUnavailable, Remedy.REPLAY),
    ("get", 400, body("TEMPORARILY_UNAVAILABLE"), WorkspaceUnavailable, Remedy.REPLAY),
    # credentials
    ("run-now", 401, b"", Unauthorized, Remedy.RENEW),
    ("run-now", 401, body("INVALID_PARAMETER_VALUE"), Unauthorized, Remedy.RENEW),
    ("run-now", 403, b"<title>Error 403 Invalid access token.</title>", Unauthorized, Remedy.RENEW),
    ("run-now", 403, body("403", EXPIRING), Unauthorized, Remedy.RENEW),
    ("run-now", 403, body("PERMISSION_DENIED", "Invalid access token."), Unauthorized, Remedy.RENEW),
    ("run-now", 403, body("PERMISSION_DENIED", EXPIRING), Unauthorized, Remedy.RENEW),
    ("run-now", 403, body("PERMISSION_DENIED", "blocked by Databricks IP ACL"), Unauthorized, Remedy.RENEW),
    ("run-now", 400, b"Error 400 io.jsonwebtoken.IncorrectClaimException", Unauthorized, Remedy.RENEW),
    ("list", 403, body("PERMISSION_DENIED", "no"), Unauthorized, Remedy.RENEW),
    ("get", 403, b"", Unauthorized, Remedy.RENEW),
    # the entry's own fault
    (
        "run-now",
        400,
        body("INVALID_PARAMETER_VALUE", "Job 7 does not exist."),
        RequestRefused,
        Remedy.NOTHING,
    ),
    ("run-now", 404, body("RESOURCE_DOES_NOT_EXIST"), RequestRefused, Remedy.NOTHING),
    ("run-now", 403, body("PERMISSION_DENIED", "no Manage Run on job 7"), RequestRefused, Remedy.RENEW),
    ("run-now", 400, body("MALFORMED_REQUEST"), RequestRefused, Remedy.NOTHING),
    ("run-now", 413, b"", WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 413, body("REQUEST_TOO_LARGE"), RequestRefused, Remedy.NOTHING),
    ("run-now", 200, b"{}", NoRunNamed, Remedy.NOTHING),
    ("run-now", 200, b'{"run_id": null}', NoRunNamed, Remedy.NOTHING),
    # the run of this token was deleted
    ("run-now", 400, body("INVALID_PARAMETER_VALUE", GONE), TokenRunDeleted, Remedy.NOTHING),
    ("run-now", 404, body("RESOURCE_DOES_NOT_EXIST", GONE_TOO), TokenRunDeleted, Remedy.NOTHING),
    (
        "run-now",
        400,
        body("INVALID_STATE", "The run with the given idempotency token was deleted."),
        TokenRunDeleted,
        Remedy.NOTHING,
    ),
    (
        "run-now",
        400,
        body("", TOKEN_GONE),
        TokenRunDeleted,
        Remedy.NOTHING,
    ),
    # says that the workspace is in trouble, whatever the status and the code
    *(
        (name, status, body(code, words), WorkspaceUnavailable, Remedy.REPLAY)
        for name in ("run-now", "job")
        for status, code in ((400, "INVALID_STATE"), (400, "INVALID_PARAMETER_VALUE"), (404, ""))
        for words in (
            "Workspace 7 does not have any associated worker environments",
            "There is no worker environment with id 3",
            "Unknown worker environment",
            "com.databricks.backend.manager.util.UnknownWorkerEnvironmentException: job 7",
            "ClusterNotReadyException: cluster of job 7",
            "Unexpected error",
            "Please try again later or try a faster operation.",
        )
    ),
    # is not understood: the workspace's until proven otherwise
    ("run-now", 418, body("SOMETHING_NEW"), WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 400, b"Bad Request", WorkspaceUnavailable, Remedy.NOTHING),
    (
        "run-now",
        400,
        body("BAD_REQUEST", OAUTH),
        WorkspaceUnavailable,
        Remedy.NOTHING,
    ),
    ("run-now", 404, body("FEATURE_DISABLED", "Jobs are disabled"), WorkspaceUnavailable, Remedy.NOTHING),
    (
        "run-now",
        403,
        body("PERMISSION_DENIED", NOT_PUBLIC),
        Unauthorized,
        Remedy.RENEW,
    ),
    ("run-now", 403, body("", NOT_PUBLIC), Unauthorized, Remedy.RENEW),
    ("run-now", 403, body("PERMISSION_DENIED"), Unauthorized, Remedy.RENEW),
    (
        "run-now",
        400,
        body("INVALID_PARAMETER_VALUE", MOVED),
        WorkspaceUnavailable,
        Remedy.NOTHING,
    ),
    (
        "job",
        403,
        body("PERMISSION_DENIED", NOT_PUBLIC),
        Unauthorized,
        Remedy.RENEW,
    ),
    (
        "get",
        404,
        body("RESOURCE_DOES_NOT_EXIST", NO_WORKSPACE),
        WorkspaceUnavailable,
        Remedy.NOTHING,
    ),
    # says nothing about the entry
    ("run-now", 404, body("ENDPOINT_NOT_FOUND"), WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 404, b"<html>no such site", WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 405, b"", WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 302, body("INVALID_PARAMETER_VALUE"), WorkspaceUnavailable, Remedy.NOTHING),
    ("list", 400, body("INVALID_PARAMETER_VALUE"), WorkspaceUnavailable, Remedy.NOTHING),
    # runs
    ("get", 400, body("INVALID_PARAMETER_VALUE", GONE), RunNotFound, Remedy.NOTHING),
    ("get", 400, body("INVALID_PARAMETER_VALUE", GONE_TOO), RunNotFound, Remedy.NOTHING),
    ("get", 404, body("RESOURCE_DOES_NOT_EXIST", GONE), RunNotFound, Remedy.NOTHING),
    ("cancel", 400, body("INVALID_PARAMETER_VALUE", GONE), RunNotFound, Remedy.NOTHING),
    ("get", 400, body("INVALID_PARAMETER_VALUE", "run_id"), WorkspaceUnavailable, Remedy.NOTHING),
    ("get", 404, b"<html>no such site", WorkspaceUnavailable, Remedy.NOTHING),
    ("get", 418, body("SOMETHING_NEW"), WorkspaceUnavailable, Remedy.NOTHING),
    # jobs
    ("job", 400, body("INVALID_PARAMETER_VALUE", "Job 7 does not exist."), RequestRefused, Remedy.NOTHING),
    ("job", 404, body("RESOURCE_DOES_NOT_EXIST"), RequestRefused, Remedy.NOTHING),
    ("job", 403, body("PERMISSION_DENIED", "no View on job 7"), RequestRefused, Remedy.RENEW),
    ("create", 400, body("INVALID_PARAMETER_VALUE", "notebook_path"), RequestRefused, Remedy.NOTHING),
    ("create", 400, body("QUOTA_EXCEEDED", "10000 jobs"), WorkspaceUnavailable, Remedy.NOTHING),
    # good status, unusable body
    ("run-now", 200, b"", WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 200, b'{"run_id": 1', WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 200, b"[1]", WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 200, b"[" * 100_000, WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 200, b"\xff\xfe\xfa", WorkspaceUnavailable, Remedy.REPLAY),
    ("run-now", 200, b'{"number_in_job": 5}', NoRunNamed, Remedy.NOTHING),
    ("run-now", 200, body("SOMETHING_NEW"), WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 200, b'{"run_id": "x5"}', WorkspaceUnavailable, Remedy.NOTHING),
    ("run-now", 200, b'{"run_id": 5.5}', WorkspaceUnavailable, Remedy.NOTHING),
    ("get", 200, b"{}", WorkspaceUnavailable, Remedy.NOTHING),
]


@pytest.mark.parametrize(("name", "status", "content", "kind", "remedy"), ANSWERS)
def test_which_error_a_response_is(
    name: str, status: int, content: bytes, kind: type[DatabricksError], remedy: Remedy
) -> None:
    result = failure(REQUESTS[name], status, content)
    assert type(result.error) is kind
    assert result.remedy is remedy
    assert result.error.status == status
    assert str(result.error).startswith(f"Databricks {REQUESTS[name].name}: ")


@pytest.mark.parametrize(
    ("status", "content", "permanent"),
    [
        (400, body("INVALID_PARAMETER_VALUE"), True),
        (404, body("RESOURCE_DOES_NOT_EXIST"), True),
        (403, body("PERMISSION_DENIED", "no Manage Run on job 7"), False),
        (400, body("MALFORMED_REQUEST"), False),
        (422, body("UNPROCESSABLE_ENTITY"), False),
    ],
)
def test_whether_a_refusal_is_permanent(status: int, content: bytes, permanent: bool) -> None:
    error = failure(RUN_NOW, status, content).error
    assert isinstance(error, RequestRefused)
    assert error.permanent is permanent


def test_a_message_is_one_short_line_without_what_was_sent() -> None:
    message = f"bad\r\n\tvalue payroll-key-5d1c77 {CANARY} \x1b[31m" + "é" * 9_000
    error = failure(RUN_NOW, 400, body("INVALID_PARAMETER_VALUE", message)).error
    start = "Databricks run-now: HTTP 400 INVALID_PARAMETER_VALUE: bad value […] […] ééé"
    assert str(error).startswith(start)
    assert len(str(error)) < 600
    assert error.error_code == "INVALID_PARAMETER_VALUE"


def test_a_value_is_hidden_in_its_json_form_too() -> None:
    parameters = {"password": 'say "hi"'}
    request = jobs_api.run_now(
        RunRequest(job_id=1, idempotency_token="g", parameter_style="job_parameters", parameters=parameters)
    )
    error = failure(request, 400, body("MALFORMED_REQUEST", f"cannot use {json.dumps(parameters)}")).error
    assert str(error).endswith('cannot use {"password": "[…]"}')


@pytest.mark.parametrize(
    ("tries", "retry_after", "jitter", "seconds"),
    [
        (1, None, 0.0, 0.25),
        (1, None, 1.0, 0.5),
        (2, None, 1.0, 1.0),
        (9, None, 1.0, 8.0),
        (1, 0.0, 0.0, 0.0),
        (1, 5.0, 0.0, 5.0),
        (2, 5.0, 0.5, 5.5),
    ],
)
def test_pauses(tries: int, retry_after: float | None, jitter: float, seconds: float) -> None:
    failed = Failure(error=WorkspaceUnavailable("x"), remedy=Remedy.REPLAY, retry_after=retry_after)
    assert jobs_api.pause(failed, tries=tries, jitter=jitter) == seconds


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("5", 5.0), (" 5 ", 5.0), ("99", 99.0), ("9999", 3600.0), ("-1", None), ("1e9", None), ("٣", None)],
)
def test_retry_after_is_read_whatever_the_case_of_its_name(retry_after: str, seconds: float | None) -> None:
    response = Response(status=503, headers={"rEtRy-AfTeR": retry_after}, body=b"")
    result = jobs_api.interpret(RUN_NOW, response, secrets=(CANARY,))
    assert isinstance(result, Failure)
    assert result.retry_after == seconds


@given(
    status=st.integers(100, 999),
    content=st.binary(max_size=200)
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.dictionaries(
            st.sampled_from(["error_code", "message", "run_id", "runs", "state", "settings"]),
            st.none() | st.integers() | st.text() | st.lists(st.integers()),
        ),
    ),
    name=st.sampled_from(sorted(REQUESTS)),
    retry_after=st.text(max_size=40),
    date=st.text(max_size=40),
)
def test_no_response_crashes(status: int, content: bytes, name: str, retry_after: str, date: str) -> None:
    result = read(REQUESTS[name], status, content, Retry_After=retry_after, Date=date)
    if isinstance(result, Failure):
        assert result.retry_after is None or 0 <= result.retry_after <= 3600
        assert str(result.error).encode()
    else:
        assert 200 <= status < 300


CODES = [
    "PERMISSION_DENIED",
    "INTERNAL_ERROR",
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_EXHAUSTED",
    "QUOTA_EXCEEDED",
    "SOMETHING_NEW",
]
WORDS = [ALREADY, GONE, EXPIRING, "Boom"]


@given(
    code=st.sampled_from(CODES),
    words=st.sampled_from(WORDS),
    status=st.sampled_from([400, 401, 403, 404, 429, 500]),
    start=st.integers(0, 20),
    length=st.integers(1, 30),
)
def test_what_a_response_means_does_not_depend_on_the_parameters(
    code: str, words: str, status: int, start: int, length: int
) -> None:
    """Secrets in a response are struck out of what is shown, and change nothing else."""
    plain, quoted = (
        failure(jobs_api.run_now(replace(REQUEST, parameters={"password": value})), status, body(code, words))
        for value in ("", (code + words)[start : start + length])
    )
    assert (type(plain.error), plain.remedy) == (type(quoted.error), quoted.remedy)
    assert getattr(plain.error, "permanent", None) == getattr(quoted.error, "permanent", None)
