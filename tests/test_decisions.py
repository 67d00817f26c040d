"""Whether and when to retry, and which entries cannot be submitted."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import decisions, run_requests
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import Entry, Job, JobKey, RepairRequest, Run, RunRequest, Verdict
from orchestrator.core.states import Status
from tests.world import policy as make_policy
from tests.world import workspace as make_workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ENTRY = Entry(
    id=1,
    entry_guid="0a6b1f9e-0000-4000-8000-000000000001",
    workspace="default",
    table_name="sales",
    job_id=None,
    parameter_style="auto",
    parameters=None,
    priority=0,
    status=Status.QUEUED,
    runid=None,
    submission=1,
    attempt=1,
    max_attempts=None,
    available_at=NOW,
    lease_expires_at=None,
    deliveries=0,
    cancel_requested=False,
    last_error=None,
    created_at=NOW,
    updated_at=NOW,
    submitted_at=None,
    finished_at=None,
)

JOB = Job(job_id=5, name="load", max_concurrent_runs=1, queue_enabled=False)
WORKSPACE = make_workspace()


def test_limit_of_zero_means_no_limit() -> None:
    forever = make_policy(max_attempts=0)
    entry = replace(ENTRY, attempt=10_000)
    assert decisions.attempts_left(entry, 10_000, forever)
    assert decisions.attempts_left(replace(entry, max_attempts=0), 10_000, make_policy())
    assert not decisions.attempts_left(replace(entry, max_attempts=1), 1, forever)


def test_a_run_that_a_person_repaired_gives_no_attempt_back() -> None:
    """The app made no call for it. Without attempts left nothing waits for another one."""
    run = Run(
        run_id=7, life_cycle_state="SKIPPED", result_state="MAXIMUM_CONCURRENT_RUNS_REACHED",
        termination_code="MAX_CONCURRENT_RUNS_EXCEEDED", termination_type="CLIENT_ERROR",
    )  # fmt: skip
    running = replace(ENTRY, status=Status.RUNNING, runid=7, request=None)

    def verdict(attempt: int) -> Verdict:
        entry = replace(running, attempt=attempt)
        return decisions.verdict_on_run(entry, run, "no slot", policy=make_policy(max_attempts=3), jitter=0.5)

    assert (verdict(2).to, verdict(2).attempt_spent, verdict(2).delay_seconds) == (Status.PENDING, True, 60)
    assert (verdict(3).to, verdict(3).attempt_spent, verdict(3).delay_seconds) == (Status.DEAD, True, 0)


def test_back_off_doubles_up_to_an_hour() -> None:
    waits = [decisions._backoff_seconds(attempt, 60, 0.5) for attempt in (1, 2, 3, 4)]
    assert waits == [60, 120, 240, 480]
    assert decisions._backoff_seconds(5000, 60, 0.5) == 3600


@given(attempt=st.integers(0, 10**6), base=st.floats(0, 3600), jitter=st.floats(0, 1, exclude_max=True))
def test_back_off_is_bounded(attempt: int, base: float, jitter: float) -> None:
    assert 0 <= decisions._backoff_seconds(attempt, base, jitter) <= 3600


def test_request_of_a_plain_entry() -> None:
    request = run_requests.run_request(ENTRY, JOB)
    assert request.job_id == 5
    assert request.idempotency_token == f"{ENTRY.entry_guid}-1"
    assert len(request.idempotency_token) <= 64
    assert (request.parameter_style, request.parameters) == ("notebook_params", {"table_name": "sales"})


def test_own_job_takes_precedence_over_the_default_job() -> None:
    for key in (JobKey(job_id=9), JobKey(job_name="load")):
        assert run_requests.job_key(key, WORKSPACE) == key
    assert run_requests.job_key(JobKey(), WORKSPACE) == JobKey(job_id=5)


def test_parameters_go_where_the_job_takes_them() -> None:
    declares = replace(JOB, parameters=("table_name",))
    assert run_requests.run_request(ENTRY, declares).parameter_style == "job_parameters"
    own = replace(ENTRY, parameter_style="notebook_params")
    assert run_requests.run_request(own, declares).parameter_style == "notebook_params"


@pytest.mark.parametrize(
    "request_",
    [
        run_requests.run_request(ENTRY, JOB),
        RepairRequest(
            run_id=7, latest_repair_id=None, parameter_style="job_parameters", parameters={"a": "b"}
        ),
        RepairRequest(run_id=7, latest_repair_id=3, parameter_style="python_params", parameters=["a"]),
    ],
)
def test_request_that_is_kept_is_the_same_later(request_: RunRequest | RepairRequest) -> None:
    assert run_requests.thaw(replace(ENTRY, request=run_requests.freeze(request_))) == request_


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", "7", '{"run_now": {}}', '{"run_now": 7}', "{" * 9999),
        '{"run_now": {"job_id": [5], "parameter_style": "notebook_params", "parameters": {}}}',
        '{"run_now": {"job_id": 5, "parameter_style": {}, "parameters": {}}}',
        '{"run_now": {"job_id": 5, "parameter_style": "notebook_params", "parameters": 5}}',
        '{"run_now": {"job_id": 5, "parameter_style": "sql_params", "parameters": {}, "options": []}}',
        '{"repair": {"run_id": "5","latest_repair_id": 1,"parameter_style": "jar_params", "parameters": []}}',
    ],
)
def test_request_that_somebody_changed_is_refused(text: str) -> None:
    with pytest.raises(InvalidEntry, match="request is not"):
        run_requests.thaw(replace(ENTRY, request=text))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"parameters": "{"}, "not valid JSON"),
        ({"parameters": '{"a": NaN}'}, "not valid JSON"),
        ({"parameters": "[" * 100_000}, "not valid JSON"),
        ({"parameters": "[]"}, "must be an object"),
        ({"parameters": '{"a": {"b": 1}}'}, "must be text"),
        ({"parameters": '{"a": null}'}, "must be text"),
        ({"parameters": json.dumps({"a": "x" * 10_000})}, "10,009 bytes"),
        ({"parameters": '{"a": "\\ud800"}'}, "surrogate"),
        ({"parameter_style": "jar_params"}, "must be given"),
        ({"parameter_style": "jar_params", "parameters": "{}"}, "must be a list"),
        ({"parameter_style": "no_such_style"}, "parameter_style is unknown"),
        ({"table_name": "  "}, "table_name is empty"),
        ({"entry_guid": "x" * 64}, "entry_guid"),
        ({"entry_guid": ""}, "entry_guid"),
    ],
)
def test_entry_that_can_never_be_submitted(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidEntry, match=problem):
        run_requests.run_request(replace(ENTRY, **fields), JOB)  # type: ignore[arg-type]  # any field


def test_entry_without_a_job() -> None:
    with pytest.raises(InvalidEntry, match="DATABRICKS_JOB_ID"):
        run_requests.job_key(JobKey(), replace(WORKSPACE, job_id=None))


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (JobKey(job_id=-1), "positive"),
        (JobKey(job_name=" "), "job_name is empty"),
        (JobKey(job_id=9, job_name="load"), "both given"),
    ],
)
def test_entry_that_names_its_job_wrongly(key: JobKey, problem: str) -> None:
    with pytest.raises(InvalidEntry, match=problem):
        run_requests.job_key(key, WORKSPACE)


def test_numbers_and_booleans_become_text() -> None:
    text = '{"month": 1, "full": true, "share": 0.5, "name": "x"}'
    parameters = run_requests.run_parameters("sales", "job_parameters", text)
    assert parameters == {"month": "1", "full": "true", "share": "0.5", "name": "x"}
    assert run_requests.run_parameters("sales", "python_params", '["--month", 1]') == ["--month", "1"]


@given(text=st.text(max_size=200), style=st.sampled_from([*run_requests.PARAMETER_STYLES, "other"]))
def test_any_text_is_either_parameters_or_a_clear_error(text: str, style: str) -> None:
    try:
        parameters = run_requests.run_parameters("sales", style, text)
    except InvalidEntry:
        return  # any other exception fails the test
    assert isinstance(parameters, run_requests.PARAMETER_STYLES[style])


def test_error_never_quotes_the_parameters() -> None:
    for text in ('{"secret": "s3cr3t"', '{"secret": {"s3cr3t": 1}}', '["s3cr3t"]'):
        with pytest.raises(InvalidEntry) as caught:
            run_requests.run_parameters("sales", "notebook_params", text)
        assert "s3cr3t" not in str(caught.value)
