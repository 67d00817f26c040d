"""The JSON of Databricks is read into records, and nonsense in it breaks nothing."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.databricks import fields, responses, task_outcomes, task_responses
from orchestrator.adapters.databricks.task_outcomes import Cause
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import ActiveRun, Run, TaskRun

#: A failed run with one retried task, as ``runs/get`` of API 2.2 shows it.
FAILED: dict[str, Any] = {
    "job_id": 7,
    "run_id": 100,
    "state": {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": "Task main failed with message: Workload failed.",
        "user_cancelled_or_timedout": False,
    },
    "status": {
        "state": "TERMINATED",
        "termination_details": {
            "code": "RUN_EXECUTION_ERROR",
            "type": "CLIENT_ERROR",
            "message": "Task main failed.",
        },
    },
    "start_time": 1_700_000_000_250,
    "end_time": 1_700_000_060_000,
    "setup_duration": 0,
    "queue_duration": 1500,
    "execution_duration": 58_000,
    "run_page_url": "https://adb-1.2.azuredatabricks.net/?o=1#job/7/run/100",
    "tasks": [
        {
            "run_id": 102,
            "task_key": "main",
            "attempt_number": 1,
            "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"},
        },
        {
            "run_id": 101,
            "task_key": "main",
            "attempt_number": 0,
            "status": {"state": "TERMINATED", "termination_details": {"code": "DRIVER_ERROR"}},
        },
    ],
}


def test_a_failed_run() -> None:
    assert responses.parse_run(FAILED) == Run(
        run_id=100,
        job_id=7,
        life_cycle_state="INTERNAL_ERROR",
        result_state="FAILED",
        termination_code="RUN_EXECUTION_ERROR",
        termination_type="CLIENT_ERROR",
        message="Task main failed.",
        run_page_url="https://adb-1.2.azuredatabricks.net/?o=1#job/7/run/100",
        started_at=datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC),
        finished_at=datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC),
        queue_seconds=1.5,
        setup_seconds=0.0,
        execution_seconds=58.0,
        tasks=(
            TaskRun(
                run_id=102,
                task_key="main",
                attempt_number=1,
                life_cycle_state="TERMINATED",
                result_state="FAILED",
            ),
            TaskRun(
                run_id=101,
                task_key="main",
                attempt_number=0,
                life_cycle_state="TERMINATED",
                result_state="DRIVER_ERROR",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        ({"life_cycle_state": "RUNNING"}, None, "RUNNING"),
        ({"life_cycle_state": "SOMETHING_NEW"}, {"state": "RUNNING"}, "RUNNING"),
        ({"life_cycle_state": "RUNNING"}, {"state": "SOMETHING_NEW"}, "RUNNING"),
        ({"life_cycle_state": "TERMINATED"}, {"state": "RUNNING"}, "RUNNING"),
        ({"life_cycle_state": "INTERNAL_ERROR"}, {"state": "QUEUED"}, "QUEUED"),
        ({"life_cycle_state": "RUNNING"}, {"state": "TERMINATED"}, "TERMINATED"),
        ({"life_cycle_state": "SKIPPED"}, {"state": "TERMINATED"}, "SKIPPED"),
        ({"life_cycle_state": "Terminated"}, {"state": "odd"}, "TERMINATED"),
        (None, {"state": "QUEUED"}, "QUEUED"),
        (None, {"state": "WAITING"}, "WAITING_FOR_RETRY"),
        (None, {"state": "TERMINATED"}, "TERMINATED"),
        ("odd", {"state": "BLOCKED"}, "BLOCKED"),
        ({}, {"state": "SOMETHING_NEW"}, "SOMETHING_NEW"),
        ({"life_cycle_state": 5}, {"state": "PENDING"}, "PENDING"),
        (None, {"state": "PENDING", "queue_details": {"code": "MAX_CONCURRENT_RUNS_REACHED"}}, "QUEUED"),
        ({"life_cycle_state": "PENDING"}, {"state": "BLOCKED", "queue_details": {"code": "X"}}, "QUEUED"),
        ({"life_cycle_state": "PENDING"}, {"state": "QUEUED"}, "QUEUED"),
        (None, {"state": "WAITING", "queue_details": {"code": "X"}}, "QUEUED"),
        (None, {"state": "RUNNING", "queue_details": {"code": "X"}}, "RUNNING"),
        (None, {"state": "TERMINATED", "queue_details": {"code": "X"}}, "TERMINATED"),
        (None, {"state": "PENDING", "queue_details": {}}, "PENDING"),
        (None, {"state": "PENDING", "queue_details": "X"}, "PENDING"),
    ],
)
def test_the_life_cycle_state(state: Any, status: Any, expected: str) -> None:
    response = {"run_id": 1, "state": state, "status": status}
    assert responses.parse_run(response).life_cycle_state == expected


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"run_id": 1},
        {"run_id": 1, "state": {}, "status": {}},
        {"run_id": 1, "state": [], "status": "RUNNING"},
        {"run_id": 1, "state": {"life_cycle_state": None}},
        {"state": {"life_cycle_state": "RUNNING"}},
        {"run_id": "1x", "state": {"life_cycle_state": "RUNNING"}},
        {"run_id": 1.5, "state": {"life_cycle_state": "RUNNING"}},
        {"run_id": True, "state": {"life_cycle_state": "RUNNING"}},
        {"run_id": 0, "state": {"life_cycle_state": "RUNNING"}},
        {"run_id": 2**63, "state": {"life_cycle_state": "RUNNING"}},
    ],
)
def test_a_run_without_what_must_be_there(response: Any) -> None:
    with pytest.raises(WorkspaceUnavailable, match="Databricks sent"):
        responses.parse_run(response)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, None),
        (None, None),
        ("1700000000000", None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (10**17, None),
        (True, None),
        (1000.0, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_times(value: Any, expected: datetime | None) -> None:
    run = responses.parse_run({"run_id": 1, "state": {"life_cycle_state": "RUNNING"}, "end_time": value})
    assert run.finished_at == expected


def test_texts_fit_a_column_and_a_log() -> None:
    broken = json.loads('"\\u001b[0;31mred\\u001b[0m nul:\\u0000 half:\\ud800"')
    state = {"life_cycle_state": "TERMINATED", "state_message": broken + "x" * 9_000}
    message = responses.parse_run({"run_id": 1, "state": state}).message
    assert message is not None
    assert message.startswith("red nul: half:?xxx")
    assert len(message) == 2_000
    assert message.encode()


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 5_000])
def test_a_cut_keeps_both_ends(length: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    short = fields.cut(text, 100)
    assert len(short) == min(length, 100)
    assert (short[:30], short[-30:]) == (text[:30], text[-30:])


def test_many_errors_share_the_space() -> None:
    run = Run(run_id=1, life_cycle_state="TERMINATED")
    [task] = task_outcomes.failed_tasks(run, ())
    causes = [
        Cause(task=task, path=(f"t{i}",), message="m" * 5_000, error_trace="t" * 50_000) for i in range(10)
    ]
    failure = task_outcomes.combine(run, causes, complete=True)
    assert failure.message is not None
    assert failure.error_trace is not None
    assert len(failure.message) <= 2_000
    assert len(failure.error_trace) <= 10_000
    assert [line[:3] for line in failure.message.splitlines()] == [f"t{i}:" for i in range(10)]


def test_a_run_without_tasks_is_its_own_task() -> None:
    run = Run(run_id=5, life_cycle_state="INTERNAL_ERROR")
    assert [task.run_id for task in task_outcomes.failed_tasks(run, ())] == [5]


@pytest.mark.parametrize(
    ("settings", "limit", "queued"),
    [
        ({}, 1, False),
        ({"max_concurrent_runs": 1000, "queue": {"enabled": True}}, 1000, True),
        ({"max_concurrent_runs": None}, 1, False),
        ({"max_concurrent_runs": 0}, 0, False),
        ({"max_concurrent_runs": -3}, 1000, False),
        ({"max_concurrent_runs": True}, 1000, False),
        ({"max_concurrent_runs": "5", "queue": "yes"}, 1000, False),
    ],
)
def test_a_job(settings: Any, limit: int, queued: bool) -> None:
    job = responses.parse_job({"job_id": 7, "settings": settings})
    assert (job.max_concurrent_runs, job.queue_enabled) == (limit, queued)


def test_a_job_without_settings() -> None:
    with pytest.raises(WorkspaceUnavailable):
        responses.parse_job({"job_id": 7})


def test_another_job_than_the_one_asked_for() -> None:
    with pytest.raises(WorkspaceUnavailable, match="asked for job_id 5 and sent 7"):
        responses.parse_job({"job_id": 7, "settings": {}}, asked=5)
    assert responses.parse_job({"job_id": 7, "settings": {}}, asked=7).job_id == 7


@pytest.mark.parametrize(
    ("trigger", "continuous"),
    [({}, False), ({"continuous": None}, False), ({"continuous": {}}, True)]
    + [({"continuous": {"pause_status": status}}, True) for status in ("PAUSED", "UNPAUSED")],
)
def test_a_continuous_job(trigger: Any, continuous: bool) -> None:
    assert responses.parse_job({"job_id": 7, "settings": trigger}).continuous is continuous


def repair(repair_id: Any, start_time: Any = None) -> dict[str, Any]:
    return {"type": "REPAIR", "id": repair_id, "start_time": start_time}


@pytest.mark.parametrize(
    ("history", "newest"),
    [
        ([], None),
        ([{"type": "ORIGINAL", "start_time": 9_000}], None),
        ([{"type": "ORIGINAL", "start_time": 1_000}, repair(900, 2_000), repair(50, 3_000)], 50),
        ([repair(50, 3_000), repair(900, 2_000), {"type": "ORIGINAL", "start_time": 1_000}], 50),
        ([repair(900, 2_000), repair(50, 2_000)], 50),
        ([repair(900), repair(50)], 50),
        ([repair(900, 2_000), repair(50)], 50),
        ([repair("900", 5_000), repair(50, 2_000), None], 900),
        ([repair("x", 5_000), repair(50, 2_000), None], 50),
    ],
)
def test_the_newest_repair_is_the_one_that_began_last(history: Any, newest: int | None) -> None:
    response = {"run_id": 1, "state": {"life_cycle_state": "TERMINATED"}, "repair_history": history}
    assert responses.parse_run(response).latest_repair_id == newest


def listed(**fields_of_run: Any) -> ActiveRun | None:
    """Read one run of ``runs/list``; None if it is left out."""
    runs = responses.parse_active_runs({"runs": [{"run_id": 1, **fields_of_run}]}).runs
    return runs[0] if runs else None


@pytest.mark.parametrize(
    ("told", "active"),
    [
        ({}, True),
        ({"state": {"life_cycle_state": "RUNNING"}}, True),
        ({"state": {"life_cycle_state": "TERMINATED"}}, False),
        ({"state": {"life_cycle_state": "SKIPPED"}}, False),
        ({"status": {"state": "TERMINATED"}}, False),
        ({"state": {"life_cycle_state": "INTERNAL_ERROR"}, "status": {"state": "TERMINATED"}}, False),
        ({"state": {"life_cycle_state": "TERMINATED"}, "status": {"state": "RUNNING"}}, True),
        ({"state": {"life_cycle_state": "RUNNING"}, "status": {"state": "TERMINATED"}}, False),
        ({"status": {"state": "COMPLETED"}}, True),
        ({"status": {"state": "COMPLETED"}, "end_time": 5_000}, True),
        ({"status": {"state": "COMPLETED", "termination_details": {"code": "X"}}, "end_time": 5_000}, False),
        ({"state": {"life_cycle_state": "FAILED", "result_state": "FAILED"}, "end_time": 5_000}, False),
        ({"state": {"life_cycle_state": "RUNNING", "result_state": "FAILED"}, "end_time": 5_000}, True),
    ],
)
def test_a_listed_run_that_is_over_is_not_active(told: Any, active: bool) -> None:
    assert (listed(**told) is not None) is active


@pytest.mark.parametrize(
    ("told", "child"),
    [
        ({}, False),
        ({"trigger": "RUN_JOB_TASK"}, True),
        ({"trigger": "run_job_task"}, True),
        ({"trigger": 5, "trigger_info": {"run_id": 5}}, True),
        ({"trigger_info": {"run_id": 5}}, True),
        ({"trigger": None, "trigger_info": {"run_id": 5}}, True),
        ({"trigger": "PERIODIC", "trigger_info": {"run_id": 5}}, False),
        ({"trigger_info": {"run_id": "5"}}, True),
        ({"trigger_info": {"run_id": "x"}}, False),
        ({"trigger_info": None}, False),
    ],
)
def test_a_child_run(told: Any, child: bool) -> None:
    run = listed(**told)
    assert run is not None
    assert run.is_child is child


@pytest.mark.parametrize(("sent", "seconds"), [(None, None), (0, 0.0), (1_500, 1.5), ("9", None)])
def test_the_queueing_of_a_listed_run(sent: Any, seconds: float | None) -> None:
    run = listed(queue_duration=sent, status={"state": "PENDING", "queue_details": {"code": "X"}})
    assert run is not None
    assert (run.queued, run.queue_seconds) == (True, seconds)


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"runs": None},
        {"runs": [], "has_more": False, "next_page_token": "a"},
        {"has_more": False, "next_page_token": 5},
    ],
)
def test_a_page_without_runs_is_the_last(page: Any) -> None:
    assert responses.parse_active_runs(page) == responses.ActiveRunsPage(runs=(), next_page_token=None)


@pytest.mark.parametrize("name", ["error_code", "error", "message"])
def test_an_error_is_not_an_empty_list(name: str) -> None:
    with pytest.raises(WorkspaceUnavailable, match="an error instead of runs"):
        responses.parse_active_runs({name: "oops"})
    assert responses.parse_active_runs({name: "oops", "runs": []}).runs == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
#: Objects with the right keys and any values, so that wrong types occur deep inside.
RUN_LIKE = st.fixed_dictionaries(
    {"run_id": st.integers(1, 9) | JSON},
    optional={
        name: st.dictionaries(
            st.sampled_from(["life_cycle_state", "result_state", "state", "termination_details"]), JSON
        )
        | JSON
        for name in ("state", "status")
    }
    | dict.fromkeys(("start_time", "end_time", "queue_duration", "run_page_url"), JSON)
    | {
        "tasks": JSON
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional=dict.fromkeys(
                    (
                        "run_id",
                        "task_key",
                        "attempt_number",
                        "state",
                        "status",
                        "start_time",
                        "for_each_task",
                    ),
                    JSON,
                ),
            )
        )
    },
)


@given(RUN_LIKE)
def test_no_run_crashes(response: Any) -> None:
    try:
        run = responses.parse_run(response)
    except WorkspaceUnavailable:
        return
    task_outcomes.failed_tasks(run, run.tasks)
    str(run).encode()


@given(st.dictionaries(st.sampled_from(["runs", "has_more", "next_page_token", "settings", "error"]), JSON))
def test_no_other_response_crashes(response: Any) -> None:
    task_responses.parse_output(response)
    for parse in (responses.parse_active_runs, responses.parse_job, task_responses.parse_task_page):
        try:
            parse(response)
        except WorkspaceUnavailable:
            continue
