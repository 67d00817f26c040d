"""Whatever a workspace responds, read without a network: any status, any headers, any body."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.databricks import jobs_api, responses, task_outcomes, task_responses
from orchestrator.adapters.databricks.jobs_api import Failure, Request, Success
from orchestrator.adapters.databricks.responses import Response
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core import decisions, outcomes
from orchestrator.core.errors import (
    DatabricksError,
    NoCapacity,
    RequestRefused,
    RunNotFound,
    TokenRunDeleted,
    WorkspaceUnavailable,
)
from orchestrator.core.models import Job, LogRow, Run, RunFailure
from tests.badinput.support import MISSING, ODD_VALUES, any_text, as_body, bodies, paths, replaced, tries
from tests.databricks.support import CANARY, REQUEST
from tests.test_decisions import ENTRY
from tests.world import policy

BIGGEST_ID = 2**63 - 1

GOOD_RUN: dict[str, Any] = {
    "run_id": 11,
    "state": {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED", "state_message": "Task failed"},
    "status": {
        "state": "TERMINATED",
        "termination_details": {"code": "RUN_EXECUTION_ERROR", "type": "CLIENT_ERROR", "message": "Boom"},
    },
    "run_page_url": "https://adb-1.2.azuredatabricks.net/?o=1#job/7/run/11",
    "start_time": 1_760_000_000_000,
    "end_time": 1_760_000_060_000,
    "queue_duration": 10,
    "setup_duration": 1_000,
    "execution_duration": 59_000,
    "tasks": [
        {
            "run_id": 12,
            "task_key": "main",
            "attempt_number": 0,
            "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"},
            "status": {"state": "TERMINATED", "termination_details": {"code": "RUN_EXECUTION_ERROR"}},
        }
    ],
}
GOOD_PAGE = {"runs": [{"run_id": 1}, {"run_id": 2}], "has_more": True, "next_page_token": "abc"}
GOOD_JOB = {"job_id": 7, "settings": {"name": "n", "max_concurrent_runs": 9, "queue": {"enabled": True}}}
GOOD_TASK_PAGE = {
    "run_id": 11,
    "tasks": [
        {
            "run_id": 12,
            "task_key": "each",
            "start_time": 1_760_000_000_000,
            "for_each_task": {"inputs": "[1]", "stats": {"error_message_stats": [{"error_message": "Boom"}]}},
            "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": "Failed"},
            "status": {"state": "TERMINATED", "termination_details": {"code": "X", "type": "CLIENT_ERROR"}},
        }
    ],
    "iterations": [{"run_id": 13, "task_key": "each_iteration", "attempt_number": 0}],
    "next_page_token": "abc",
}
GOOD_OUTPUT = {
    "error": "Boom",
    "error_trace": "Traceback",
    "logs": "",
    "metadata": {"run_id": 12},
    "notebook_output": {"result": "5 rows", "truncated": False},
    "run_job_output": {"run_id": 14},
}
PROBLEM = {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 7 does not exist.", "details": []}


@dataclass(frozen=True)
class Case:
    """One endpoint: its request, a good response, and the errors that it may end with."""

    request: Request[Any]
    good: Any
    errors: tuple[type[DatabricksError], ...]


CASES = [
    Case(jobs_api.run_now(REQUEST), {"run_id": 5, "number_in_job": 5}, (RequestRefused, NoCapacity)),
    Case(jobs_api.list_active_runs(None), GOOD_PAGE, ()),
    Case(jobs_api.get_run(11), GOOD_RUN, (RunNotFound,)),
    Case(jobs_api.get_task_page(11, "abc"), GOOD_TASK_PAGE, (RunNotFound,)),
    Case(jobs_api.get_output(12), GOOD_OUTPUT, ()),
    Case(jobs_api.cancel_run(11), {}, (RunNotFound,)),
    Case(jobs_api.get_job(7), GOOD_JOB, (RequestRefused,)),
    Case(
        jobs_api.create_job(name="j", notebook_path="/n", max_concurrent_runs=9),
        {"job_id": 8},
        (RequestRefused,),
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.request.name)


def check_id(value: int) -> None:
    assert type(value) is int
    assert 0 < value <= BIGGEST_ID


def check_text(text: str | None) -> None:
    """Check that both databases accept it: no NUL, and it can be written in UTF-8."""
    if text is not None:
        assert "\0" not in text
        text.encode()


def check_time(time: datetime | None) -> None:
    """Check that both databases accept it: ``datetime2`` in UTC, and SQLite's text of limited length."""
    if time is not None:
        assert datetime(1970, 1, 1, tzinfo=UTC) <= time
        assert len(SqliteConnector.to_database(None, time)) == 23  # type: ignore[arg-type]  # uses no state


def check_page(page: responses.ActiveRunsPage) -> None:
    for run in page.runs:
        check_id(run.run_id)
    if page.next_page_token is not None:
        jobs_api.list_active_runs(page.next_page_token).query["page_token"].encode()


def check_log(log: LogRow) -> None:
    for text in (log.message, log.error_trace, log.run_page_url, log.life_cycle_state, log.termination_code):
        check_text(text)
    check_time(log.started_at)
    check_time(log.finished_at)
    for seconds in (log.queue_seconds, log.setup_seconds, log.execution_seconds):
        # SQL Server's float holds neither infinities nor numbers below 2.23E-308 but 0.
        assert seconds is None or seconds == 0 or 1e-300 < seconds < 1e308


def check_run(run: Run) -> None:
    check_id(run.run_id)
    for task in task_outcomes.failed_tasks(run, run.tasks):
        check_id(task.run_id)
        check_text(task.task_key)
    failure = task_outcomes.combine(run, [], complete=True)
    error = outcomes.describe(run, failure)
    verdict = decisions.verdict_on_run(
        ENTRY, run, error, policy=policy(retry_backoff_seconds=1, submit_lease_seconds=1), jitter=0.5
    )
    check_log(decisions.log_of_run(ENTRY, run, failure, verdict))


def check_job(job: Job) -> None:
    check_id(job.job_id)
    check_text(job.name)
    assert type(job.max_concurrent_runs) is int


def check_failure(failure: RunFailure) -> None:
    check_text(failure.message)
    check_text(failure.error_trace)


def check_task_page(page: task_responses.TaskPage) -> None:
    run = Run(run_id=11, life_cycle_state="TERMINATED", result_state="FAILED")
    task_outcomes.tasks_with_result(run, page.tasks)
    for task in (
        *task_outcomes.failed_tasks(run, page.tasks),
        *task_outcomes.failed_iterations(page.iterations),
    ):
        check_id(task.run_id)
        check_time(task.started_at)
        for text in (task.task_key, task.kind, task.message, task.result_state):
            check_text(text)
    if page.next_page_token is not None:
        jobs_api.get_task_page(11, page.next_page_token).query["page_token"].encode()


def check_output(output: task_responses.TaskOutput) -> None:
    for text in (output.error, output.error_trace, output.result):
        check_text(text)
    if output.child_run_id is not None:
        check_id(output.child_run_id)


CHECKS: dict[type, Callable[[Any], None]] = {
    int: check_id,
    responses.ActiveRunsPage: check_page,
    Run: check_run,
    Job: check_job,
    RunFailure: check_failure,
    task_responses.TaskPage: check_task_page,
    task_responses.TaskOutput: check_output,
    str: check_text,
    type(None): lambda _: None,
}


def check_response(case: Case, response: Response) -> None:
    """Check that the response is a valid result or a documented error, and shows no secret."""
    for in_doubt in (case.request.replayable, False):
        result = jobs_api.interpret(case.request, response, secrets=(CANARY,), in_doubt=in_doubt)
        if isinstance(result, Success):
            assert 200 <= response.status < 300
            CHECKS[type(result.value)](result.value)
            continue
        check_error(case, jobs_api.final_error(result, in_doubt=in_doubt), in_doubt=in_doubt)
        if 200 <= response.status < 300 and not in_doubt:
            check_doubt(case, result)
        assert jobs_api.pause(result, tries=4, jitter=0.99) < 3700


def check_doubt(case: Case, failure: Failure) -> None:
    """Check that what the workspace may have carried out is in doubt, unless it names no run at all."""
    error = jobs_api.final_error(failure, in_doubt=False)
    if isinstance(error, RequestRefused):
        assert case.request.name == "run-now"
        assert "named no run" in str(error)
        return
    assert isinstance(error, WorkspaceUnavailable)
    assert error.in_doubt


def check_error(case: Case, error: DatabricksError, *, in_doubt: bool) -> None:
    assert isinstance(error, (WorkspaceUnavailable, *case.errors))
    if in_doubt and case.request.method == "POST" and error.status >= 300:
        assert isinstance(error, TokenRunDeleted) or not isinstance(error, RequestRefused | NoCapacity)
    text = str(error)
    assert text.startswith(f"Databricks {case.request.name}: ")
    assert len(text) < 1_000
    assert text.isprintable()
    check_text(text)
    check_text(error.error_code)
    for secret in (CANARY, *case.request.hidden[:1]):
        assert secret not in text + error.error_code


headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Date", "Content-Type", "x"]),
    any_text
    | st.integers().map(str)
    | st.sampled_from(
        [
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "1e9",
            "-1",
            "٣",
        ]
    ),
    max_size=3,
)


@every_case
@tries(300)
@given(data=st.data())
def test_any_response_is_a_result_or_a_documented_error(case: Case, data: st.DataObject) -> None:
    status = data.draw(st.sampled_from([200, 201, 204, 299]) | st.integers(100, 999))
    good = case.good if 200 <= status < 300 else PROBLEM
    response = Response(status=status, headers=data.draw(headers), body=data.draw(bodies(good)))
    check_response(case, response)


@every_case
def test_each_field_replaced_by_each_odd_value(case: Case) -> None:
    for path in paths(case.good):
        for value in ODD_VALUES:
            body = as_body(replaced(case.good, path, value))
            check_response(case, Response(status=200, headers={}, body=body))


@every_case
def test_each_field_of_an_error_replaced_by_each_odd_value(case: Case) -> None:
    for status in (400, 401, 403, 404, 409, 429, 500, 503):
        for path in paths(PROBLEM):
            for value in ODD_VALUES:
                body = as_body(replaced(PROBLEM, path, value))
                check_response(case, Response(status=status, headers={}, body=body))


@every_case
def test_each_status_with_each_kind_of_body(case: Case) -> None:
    for status in range(100, 600):
        for body in (b"", b"<html>", b"{}", b"[]", as_body(case.good), as_body(PROBLEM)):
            check_response(case, Response(status=status, headers={}, body=body))


@every_case
@tries(30)
@given(around=any_text, status=st.integers(400, 599))
def test_what_was_sent_is_not_repeated(case: Case, around: str, status: int) -> None:
    for secret in (CANARY, *case.request.hidden[:1]):
        for content in (
            {"error_code": secret, "message": around + secret + around},
            {"error_code": "X", "message": (secret + around) * 300},
        ):
            check_response(case, Response(status=status, headers={}, body=as_body(content)))


def test_missing_is_left_out() -> None:
    assert replaced({"a": [1, {"b": 2}]}, ("a", 1, "b"), MISSING) == {"a": [1, {}]}
