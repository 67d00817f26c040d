"""What is accepted of requests, jobs, faults and outcome rules; and the rate limit."""

from typing import Any

import pytest

from devstack.databricks.errors import ApiError
from devstack.databricks.faults import Faults
from devstack.databricks.jobs import parse_job
from devstack.databricks.outcomes import parse_rule
from devstack.databricks.requests import ListRuns, parse_list_runs, parse_run_now
from devstack.databricks.simulator import RateLimit
from tests.devstack.databricks.helpers import Clock


def size(style: str, wanted: int) -> dict[str, Any]:
    """A body whose parameters take this many bytes as JSON."""
    empty = len(f'{{"{style}":["{{}}"]}}') - 2
    return {"job_id": 1, style: ["x" * (wanted - empty)]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing required field: job_id"),
        ({"job_id": None}, "Missing required field: job_id"),
        ({"job_id": "one"}, "job_id must be a whole number"),
        ({"job_id": True}, "job_id must be a whole number"),
        ({"job_id": 1, "idempotency_token": "x" * 65}, "at most 64 characters"),
        ({"job_id": 1, "idempotency_token": 5}, "at most 64 characters"),
        ({"job_id": 1, "notebook_params": ["a"]}, "object with string values"),
        ({"job_id": 1, "notebook_params": {"a": 1}}, "object with string values"),
        ({"job_id": 1, "python_params": {"a": "b"}}, "list of strings"),
        ({"job_id": 1, "python_params": [1]}, "list of strings"),
        ({"job_id": 1, "python_params": ["ü"]}, "only ASCII"),
        ({"job_id": 1, "queue": "yes"}, "queue must be an object"),
        ({"job_id": 1, "queue": {"enabled": "yes"}}, "enabled is a boolean"),
        ({"job_id": 1, "notebook_parameters": {"a": "b"}}, "there is no field notebook_parameters"),
        ({"job_id": "--5"}, "job_id must be a whole number"),
        ({"job_id": 1.5}, "job_id must be a whole number"),
        ({"job_id": 1, "job_parameters": {"a": "b"}, "python_params": ["a"]}, "cannot be used together"),
        ({"job_id": 1, "notebook_params": {"a": "b"}, "jar_params": ["a"]}, "in conjunction"),
        ({"job_id": 1, "only": "main"}, "only must be a list of strings"),
        ({"job_id": 1, "performance_target": "FAST"}, "performance_target must be one of"),
        ({"job_id": 1, "performance_target": "COST_OPTIMIZED"}, "duration_target is required"),
        ({"job_id": 1, "pipeline_params": {"full_refresh": "yes"}}, "its full_refresh a boolean"),
        (size("jar_params", 10_001), "cannot exceed 10000 bytes"),
        (size("python_params", 10_001), "cannot exceed 10000 bytes"),
        ({"job_id": 1, "notebook_params": {"a": "é" * 5_000}}, "cannot exceed 10000 bytes"),
    ],
)
def test_a_bad_run_now_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        parse_run_now(body)
    assert refused.value.status == 400


def test_a_run_now_at_the_limits_is_accepted() -> None:
    request = parse_run_now({**size("jar_params", 10_000), "idempotency_token": "x" * 64})
    assert request.job_id == 1
    assert parse_run_now({"job_id": 1, "job_parameters": {"a": "x" * 20_000}}).named["a"] == "x" * 20_000


def test_styles_are_merged_into_named_and_listed_parameters() -> None:
    request = parse_run_now({"job_id": "1", "notebook_params": {"a": "b"}, "python_params": ["c"]})
    assert (request.named, request.listed, request.queue_enabled) == ({"a": "b"}, ["c"], None)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"active_only": "true", "completed_only": "true"}, "cannot both be true"),
        ({"active_only": "yes"}, "must be true or false"),
        ({"limit": "25"}, "greater than 0 and at most 24"),
        ({"limit": "-1"}, "greater than 0 and at most 24"),
        ({"limit": "0"}, "greater than 0 and at most 24"),
        ({"run_type": "NONSENSE"}, "run_type must be one of JOB_RUN, WORKFLOW_RUN, SUBMIT_RUN"),
        ({"limit": "many"}, "whole number"),
        ({"offset": "20"}, "use page_token"),
    ],
)
def test_a_bad_runs_list_is_refused(query: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        parse_list_runs(query)


def test_the_limit_of_a_page() -> None:
    assert [parse_list_runs(q).limit for q in ({}, {"limit": "1"}, {"limit": "24"})] == [20, 1, 24]
    assert parse_list_runs({"active_only": "True", "completed_only": "false"}) == ListRuns(active_only=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tasks": []},
        {"tasks": "main"},
        {"tasks": [{}]},
        {"tasks": [{"task_key": "a"}, {"task_key": "a"}]},
        {"tasks": [{"task_key": "a", "depends_on": [{"task_key": "b"}]}]},
        {"tasks": [{"task_key": "a", "depends_on": [{"task_key": "a"}]}]},
        {"tasks": [{"task_key": "a", "max_retries": -2}]},
        {"tasks": [{"task_key": str(n)} for n in range(1001)]},
        {"tasks": [{"task_key": "a"}], "max_concurrent_runs": 1001},
        {"tasks": [{"task_key": "a"}], "max_concurrent_runs": "many"},
        {"tasks": [{"task_key": "a"}], "max_concurrent_runs": 1.5},
        {"tasks": [{"task_key": "a"}], "max_concurrent_runs": True},
        {"tasks": [{"task_key": "a"}], "queue": "yes"},
        {"tasks": [{"task_key": "a"}], "continuous": "yes"},
        {"tasks": [{"task_key": "a"}], "parameters": [{"name": "a"}]},
        {"tasks": [{"task_key": "a"}], "queue": {"enabled": "yes"}},
    ],
)
def test_bad_job_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        parse_job(settings, job_id=1, number=1, created_at=0.0)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"results": []}, "results must be"),
        ({"results": [[]]}, "results must be"),
        ({"results": ["GREAT"]}, "results must be"),
        ({"results": "FAILED"}, "results must be"),
        ({"match": "t"}, "match must be"),
        ({"run_seconds": -1}, "run_seconds must be"),
    ],
)
def test_a_bad_outcome_rule_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        parse_rule(rule)


class TestFaults:
    def test_they_match_a_part_of_the_path_and_are_used_up(self) -> None:
        faults = Faults(Clock())
        faults.add({"match": "run-now", "kind": "status", "times": 2})
        met = [bool(faults.take(path)) for path in ("/list", "/run-now", "/run-now", "/run-now")]
        assert met == [False, True, True, False]

    def test_one_without_a_bound_happens_once(self) -> None:
        faults = Faults(Clock())
        faults.add({"kind": "drop_before"})
        assert faults.take("/a")
        assert not faults.take("/a")

    def test_one_with_a_time_ends_with_it(self) -> None:
        clock = Clock()
        faults = Faults(clock)
        faults.add({"kind": "drop_before", "for_seconds": 10})
        clock.advance(9.9)
        assert all(faults.take("/a") for _ in range(100))
        clock.advance(0.1)
        assert not faults.take("/a")

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ({}, "kind must be one of status, delay"),
            ({"kind": "explode"}, "kind must be one of status, delay"),
            ({"kind": []}, "kind must be one of status, delay"),
            ({"kind": "status", "times": "often"}, "times must be a whole number from 1"),
            ({"kind": "status", "times": -1}, "times must be a whole number from 1"),
            ({"kind": "status", "times": 1.5}, "times must be a whole number from 1"),
            ({"kind": "status", "status": 99}, "status must be a whole number from 200 to 599"),
            ({"kind": "status", "headers": 1}, "headers must be an object"),
            ({"kind": "delay", "seconds": -1}, "seconds must be a number of seconds"),
            ({"kind": "delay", "for_seconds": True}, "for_seconds must be a number of seconds"),
        ],
    )
    def test_a_bad_one_is_refused(self, fault: dict[str, Any], message: str) -> None:
        with pytest.raises(ApiError, match=message) as refused:
            Faults(Clock()).add(fault)
        assert refused.value.status == 400


class TestRateLimit:
    def test_it_lets_a_seconds_worth_through_and_tells_when_to_try_again(self) -> None:
        clock = Clock()
        limit = RateLimit(5, clock)
        assert [limit.wait_seconds() for _ in range(6)] == [0, 0, 0, 0, 0, 1]
        clock.advance(0.4)
        assert [limit.wait_seconds() for _ in range(3)] == [0, 0, 1]

    def test_less_than_one_a_second(self) -> None:
        limit = RateLimit(0.1, Clock())
        assert [limit.wait_seconds(), limit.wait_seconds()] == [0, 10]

    def test_none_is_no_limit(self) -> None:
        limit = RateLimit(0, Clock())
        assert {limit.wait_seconds() for _ in range(1000)} == {0}
