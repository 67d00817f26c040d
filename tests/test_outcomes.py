"""What a run's many states come down to, for every code, type and result that Databricks documents."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import outcomes
from orchestrator.core.models import LogRow, Run, RunFailure
from orchestrator.core.outcomes import RunOutcome
from orchestrator.core.states import Status

#: Every documented ``termination_details.code`` with the type that goes with it, and what it means.
CODES = {
    "SUCCESS": ("SUCCESS", RunOutcome.SUCCEEDED),
    "SUCCESS_WITH_FAILURES": ("SUCCESS", RunOutcome.SUCCEEDED),
    "BREAKING_CHANGE": ("CLIENT_ERROR", RunOutcome.PLATFORM),
    "BUDGET_POLICY_LIMIT_EXCEEDED": ("CLIENT_ERROR", RunOutcome.FAILED),
    "CANCELED": ("CLIENT_ERROR", RunOutcome.FAILED),
    "CLOUD_FAILURE": ("CLOUD_FAILURE", RunOutcome.PLATFORM),
    "CLUSTER_ERROR": ("CLIENT_ERROR", RunOutcome.FAILED),
    "CLUSTER_REQUEST_LIMIT_EXCEEDED": ("CLIENT_ERROR", RunOutcome.NO_SLOT),
    "CLUSTER_TERMINATED_BY_USER": ("CLIENT_ERROR", RunOutcome.FAILED),
    "DISABLED": ("CLIENT_ERROR", RunOutcome.SKIPPED),
    "DRIVER_ERROR": ("CLIENT_ERROR", RunOutcome.FAILED),
    "EXCLUDED": ("CLIENT_ERROR", RunOutcome.SKIPPED),
    "FEATURE_DISABLED": ("CLIENT_ERROR", RunOutcome.UNRECOVERABLE),
    "INTERNAL_ERROR": ("INTERNAL_ERROR", RunOutcome.PLATFORM),
    "INVALID_CLUSTER_REQUEST": ("CLIENT_ERROR", RunOutcome.UNRECOVERABLE),
    "INVALID_RUN_CONFIGURATION": ("CLIENT_ERROR", RunOutcome.UNRECOVERABLE),
    "LIBRARY_INSTALLATION_ERROR": ("CLIENT_ERROR", RunOutcome.FAILED),
    "MAX_CONCURRENT_RUNS_EXCEEDED": ("CLIENT_ERROR", RunOutcome.NO_SLOT),
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": ("CLIENT_ERROR", RunOutcome.NO_SLOT),
    "MAX_SPARK_CONTEXTS_EXCEEDED": ("CLIENT_ERROR", RunOutcome.NO_SLOT),
    "REPOSITORY_CHECKOUT_FAILED": ("CLIENT_ERROR", RunOutcome.FAILED),
    "RESOURCE_NOT_FOUND": ("CLIENT_ERROR", RunOutcome.UNRECOVERABLE),
    "RUN_EXECUTION_ERROR": ("CLIENT_ERROR", RunOutcome.FAILED),
    "SKIPPED": ("CLIENT_ERROR", RunOutcome.SKIPPED),
    "STORAGE_ACCESS_ERROR": ("CLIENT_ERROR", RunOutcome.FAILED),
    "UNAUTHORIZED_ERROR": ("CLIENT_ERROR", RunOutcome.FAILED),
    "USER_CANCELED": ("CLIENT_ERROR", RunOutcome.CANCELED),
    "WORKSPACE_RUN_LIMIT_EXCEEDED": ("CLIENT_ERROR", RunOutcome.NO_SLOT),
    "A_CODE_OF_TOMORROW": ("CLIENT_ERROR", RunOutcome.FAILED),
}

#: Outcomes that a type of the platform changes: everything else says more than the type.
_CHANGED_BY_TYPE = {RunOutcome.FAILED, RunOutcome.UNRECOVERABLE}

#: Every documented ``result_state`` of a run that sends no code, and what it means.
RESULTS = {
    "CANCELED": RunOutcome.CANCELED,
    "DISABLED": RunOutcome.SKIPPED,
    "EXCLUDED": RunOutcome.SKIPPED,
    "FAILED": RunOutcome.FAILED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": RunOutcome.NO_SLOT,
    "SKIPPED": RunOutcome.SKIPPED,
    "SUCCESS": RunOutcome.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": RunOutcome.SUCCEEDED,
    "TIMEDOUT": RunOutcome.FAILED,
    "UPSTREAM_CANCELED": RunOutcome.FAILED,
    "UPSTREAM_FAILED": RunOutcome.FAILED,
}

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(life_cycle: str, result: str | None = None, code: str | None = None, kind: str | None = None) -> Run:
    return Run(
        run_id=7,
        life_cycle_state=life_cycle,
        result_state=result,
        termination_code=code,
        termination_type=kind,
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("life_cycle", ["TERMINATED", "INTERNAL_ERROR", "SKIPPED"])
def test_code_with_its_type(code: str, life_cycle: str) -> None:
    kind, outcome = CODES[code]
    assert outcomes.outcome_of(run(life_cycle, None, code, kind)) is outcome


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", ["INTERNAL_ERROR", "CLOUD_FAILURE"])
def test_type_says_whose_fault_it_is(code: str, kind: str) -> None:
    outcome = CODES[code][1]
    expected = RunOutcome.PLATFORM if outcome in _CHANGED_BY_TYPE else outcome
    assert outcomes.outcome_of(run("TERMINATED", "FAILED", code, kind)) is expected


@pytest.mark.parametrize("code", CODES)
def test_code_without_a_type(code: str) -> None:
    assert outcomes.outcome_of(run("TERMINATED", None, code)) is CODES[code][1]


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "CLOUD_FAILURE"])
def test_code_of_the_platform_that_is_the_client_s_fault(code: str) -> None:
    assert outcomes.outcome_of(run("TERMINATED", "FAILED", code, "CLIENT_ERROR")) is RunOutcome.FAILED


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("life_cycle", ["TERMINATED", "SKIPPED", "INTERNAL_ERROR"])
def test_result_without_a_code(life_cycle: str, result: str) -> None:
    assert outcomes.outcome_of(run(life_cycle, result)) is RESULTS[result]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (run("PENDING"), RunOutcome.ACTIVE),
        (run("RUNNING"), RunOutcome.ACTIVE),
        (run("TERMINATING"), RunOutcome.ACTIVE),
        (run("QUEUED"), RunOutcome.ACTIVE),
        (run("BLOCKED"), RunOutcome.ACTIVE),
        (run("WAITING_FOR_RETRY"), RunOutcome.ACTIVE),
        (run("SOMETHING_NEW"), RunOutcome.ACTIVE),
        (run("TERMINATED", "SUCCESS", "A_NEW_CODE"), RunOutcome.SUCCEEDED),
        (run("TERMINATED", "FAILED", "A_NEW_CODE"), RunOutcome.FAILED),
        (run("TERMINATED"), RunOutcome.FAILED),
        (run("TERMINATED", "CANCELED", "CANCELED"), RunOutcome.FAILED),
        # A failed task, as the deprecated half of the response shows it.
        (run("INTERNAL_ERROR", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"), RunOutcome.FAILED),
        (run("INTERNAL_ERROR", "FAILED"), RunOutcome.FAILED),
        (run("INTERNAL_ERROR"), RunOutcome.PLATFORM),
        (run("SKIPPED"), RunOutcome.NO_SLOT),
        (run("TERMINATED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "A_NEW_CODE"), RunOutcome.NO_SLOT),
        (run("SKIPPED", "UPSTREAM_FAILED"), RunOutcome.FAILED),
        (run("TERMINATED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "SKIPPED"), RunOutcome.SKIPPED),
        (outcomes.run_that_is_gone(7), RunOutcome.FAILED),
    ],
)
def test_outcome(state: Run, outcome: RunOutcome) -> None:
    assert outcomes.outcome_of(state) is outcome


@pytest.mark.parametrize("code", [None, "COMPLETED_WITH_WARNINGS"])
@pytest.mark.parametrize("result", [None, "COMPLETED"])
def test_success_told_by_its_type(code: str | None, result: str | None) -> None:
    assert outcomes.outcome_of(run("TERMINATED", result, code, "SUCCESS")) is RunOutcome.SUCCEEDED


@pytest.mark.parametrize("code", sorted(CODES.keys() - {"A_CODE_OF_TOMORROW"}))
def test_code_outweighs_the_type_of_a_success(code: str) -> None:
    succeeded = outcomes.outcome_of(run("TERMINATED", None, code, "SUCCESS")) is RunOutcome.SUCCEEDED
    assert succeeded is (CODES[code][1] is RunOutcome.SUCCEEDED)


@pytest.mark.parametrize("result", RESULTS)
def test_result_outweighs_the_type_of_a_success(result: str) -> None:
    succeeded = outcomes.outcome_of(run("TERMINATED", result, None, "SUCCESS")) is RunOutcome.SUCCEEDED
    assert succeeded is (RESULTS[result] is RunOutcome.SUCCEEDED)


@pytest.mark.parametrize("result", [None, "SKIPPED"])
@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("Run skipped: no material tasks to execute", RunOutcome.SKIPPED),
        ("The condition of the job was not met", RunOutcome.SKIPPED),
        (
            "Skipping this run because the limit of 1 maximum concurrent runs has been reached.",
            RunOutcome.NO_SLOT,
        ),
        ("If/else condition 'capacity == low' evaluated to false", RunOutcome.SKIPPED),
        ("The condition on the quota was not met", RunOutcome.SKIPPED),
        ("The run_if expression 'limit > 0' is false", RunOutcome.SKIPPED),
        ("Too many runs of this job are active", RunOutcome.NO_SLOT),
        ("The job is at its concurrency limit", RunOutcome.NO_SLOT),
    ],
)
def test_skipped_without_a_code(message: str, result: str | None, outcome: RunOutcome) -> None:
    assert outcomes.outcome_of(replace(run("SKIPPED", result), message=message)) is outcome


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("Run cancelled by user.", RunOutcome.CANCELED),
        ("The run was canceled by the user ada", RunOutcome.CANCELED),
        ("Cancelled by ada@example.com", RunOutcome.CANCELED),
        ("Run canceled by user or timed out", RunOutcome.FAILED),
        ("Run canceled: it exceeded its maximum duration", RunOutcome.FAILED),
        ("Run canceled by the platform", RunOutcome.FAILED),
        (None, RunOutcome.FAILED),
    ],
)
@pytest.mark.parametrize("result", [None, "CANCELED"])
def test_cancellation_told_by_words(message: str | None, result: str | None, outcome: RunOutcome) -> None:
    state = replace(run("TERMINATED", result, "CANCELED", "CLIENT_ERROR"), message=message)
    assert outcomes.outcome_of(state) is outcome


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (None, RunOutcome.CANCELED),
        ("Run cancelled.", RunOutcome.CANCELED),
        ("Run cancelled by user: it took too long", RunOutcome.CANCELED),
        ("Run cancelled: maximum duration of 3600 s exceeded", RunOutcome.FAILED),
        ("The run timed out after 3600 seconds", RunOutcome.FAILED),
        ("Cancelled since the job's timeout of 1 h was reached", RunOutcome.FAILED),
        ("Run exceeded the time limit", RunOutcome.FAILED),
    ],
)
def test_cancellation_told_by_the_result_alone(message: str | None, outcome: RunOutcome) -> None:
    state = replace(run("TERMINATED", "CANCELED"), message=message)
    assert outcomes.outcome_of(state) is outcome


@pytest.mark.parametrize(
    ("life_cycle", "code", "outcome"),
    [
        ("SKIPPED", "SERVERLESS_CAPACITY_EXCEEDED", RunOutcome.NO_SLOT),
        ("SKIPPED", "REGION_QUOTA_REACHED", RunOutcome.NO_SLOT),
        ("SKIPPED", "BUDGET_POLICY_LIMIT_EXCEEDED", RunOutcome.FAILED),
        ("SKIPPED", "A_NEW_CODE", RunOutcome.FAILED),
        ("TERMINATED", "SERVERLESS_CAPACITY_EXCEEDED", RunOutcome.FAILED),
    ],
)
def test_code_of_tomorrow_that_names_a_lack_of_room(life_cycle: str, code: str, outcome: RunOutcome) -> None:
    assert outcomes.outcome_of(run(life_cycle, None, code, "CLIENT_ERROR")) is outcome


@pytest.mark.parametrize("name", ["COMPLETED", "CANCELED", "FAILED", "Terminated"])
@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ({"result_state": "SUCCESS"}, RunOutcome.SUCCEEDED),
        ({"termination_code": "RUN_EXECUTION_ERROR"}, RunOutcome.FAILED),
        ({"termination_type": "SUCCESS"}, RunOutcome.SUCCEEDED),
        ({}, RunOutcome.ACTIVE),
        ({"result_state": "SUCCESS", "finished_at": None}, RunOutcome.ACTIVE),
    ],
)
def test_end_in_a_state_that_nobody_knows(name: str, end: dict[str, object], outcome: RunOutcome) -> None:
    state = replace(run(name), **{"finished_at": NOON} | end)  # type: ignore[arg-type]  # any field
    assert outcomes.outcome_of(state) is outcome
    assert outcomes.has_unknown_state(state) is (outcome is RunOutcome.ACTIVE)


@pytest.mark.parametrize("name", ["BLOCKED", "PENDING", "QUEUED", "RUNNING", "TERMINATING", "WAITING"])
def test_active_run_with_the_end_before_its_repair(name: str) -> None:
    state = replace(run(name, "FAILED"), finished_at=NOON)
    assert outcomes.outcome_of(state) is RunOutcome.ACTIVE
    assert not outcomes.has_unknown_state(state)


@given(
    life_cycle=st.text(max_size=30),
    result=st.none() | st.text(max_size=30),
    code=st.none() | st.text(max_size=30),
    kind=st.none() | st.text(max_size=30),
)
def test_any_words_have_an_outcome(
    life_cycle: str, result: str | None, code: str | None, kind: str | None
) -> None:
    assert outcomes.outcome_of(run(life_cycle, result, code, kind)) in RunOutcome


def test_description_prefers_the_error_of_the_task() -> None:
    failed = replace(run("INTERNAL_ERROR", "FAILED", "RUN_EXECUTION_ERROR"), message="Workload failed")
    assert (
        outcomes.describe(failed, RunFailure(message="no such table")) == "RUN_EXECUTION_ERROR: no such table"
    )
    assert outcomes.describe(failed, RunFailure()) == "RUN_EXECUTION_ERROR: Workload failed"
    assert outcomes.describe(run("TERMINATED", "FAILED"), RunFailure()) == "FAILED"


@pytest.mark.parametrize(
    ("end", "same"),
    [
        ({}, True),
        ({"finished_at": NOON.replace(hour=13)}, False),
        ({"result_state": "SUCCESS"}, False),
        ({"termination_code": "DRIVER_ERROR"}, False),
        ({"termination_code": None}, True),
        ({"finished_at": None}, True),
        ({"finished_at": None, "result_state": "SUCCESS"}, False),
    ],
)
def test_end_that_was_logged(end: dict[str, object], same: bool) -> None:
    log = LogRow(
        entry_id=1,
        submission=1,
        attempt=1,
        status=Status.FAILED,
        runid=7,
        result_state="FAILED",
        termination_code="RUN_EXECUTION_ERROR",
        finished_at=NOON,
    )
    ended = replace(run("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR"), finished_at=NOON)
    assert outcomes.is_logged_end(replace(ended, **end), log) is same  # type: ignore[arg-type]  # any field
