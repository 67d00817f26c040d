"""The column ``options``: what it may hold, and that ``run-now`` gets it. The values of a new entry."""

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core import run_requests
from orchestrator.core.errors import InvalidEntry
from orchestrator.core.models import NewEntry
from orchestrator.core.new_entry import new_entry
from tests.test_decisions import ENTRY, JOB

ALL = {
    "only": ["load", "+report", "clean+", "+a-b_c+"],
    "queue": {"enabled": False},
    "performance_target": "COST_OPTIMIZED",
    "duration_target": "24h",
    "pipeline_params": {"full_refresh": True},
}


@pytest.mark.parametrize("options", [{}, ALL, *({name: value} for name, value in ALL.items())])
def test_options_are_sent_as_they_are(options: dict[str, Any]) -> None:
    assert run_requests.run_options(json.dumps(options)) == options
    entry = replace(ENTRY, options=json.dumps(options))
    request = run_requests.run_request(entry, JOB)
    assert request.options == options
    assert run_requests.thaw(replace(entry, request=run_requests.freeze(request))) == request


def test_no_options() -> None:
    assert run_requests.run_options(None) == {}
    assert run_requests.run_request(ENTRY, JOB).options == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        (" " * 200_000, "is 200,000 characters long; the limit is 100,000"),
        ("null", "must be an object in JSON"),
        ("[]", "must be an object in JSON"),
        ('"only"', "must be an object in JSON"),
        (
            '{"Only": ["a"]}',
            "has no key 'Only'; the keys are only, queue, performance_target, ",
        ),
        ('{"job_id": 7}', "has no key 'job_id'"),
        ('{"idempotency_token": "x"}', "has no key 'idempotency_token'"),
        ('{"notebook_params": {}}', "has no key 'notebook_params'"),
        ('{"\\ud800\\n": 1}', r"has no key '\ud800\n'"),
        ('{"only": null}', "only must be a list of task keys"),
        ('{"only": "load"}', "only must be a list of task keys"),
        ('{"only": []}', "only must be a list of task keys"),
        ('{"only": [1]}', "only must be a list of task keys"),
        ('{"only": ["load", ""]}', "only must be a list of task keys"),
        ('{"only": ["a b"]}', "only must be a list of task keys"),
        ('{"only": ["++load"]}', "only must be a list of task keys"),
        ('{"only": ["\\ud800"]}', "only must be a list of task keys"),
        ('{"queue": true}', 'queue must be {"enabled": true} or {"enabled": false}'),
        ('{"queue": {}}', "queue must be"),
        ('{"queue": {"enabled": 1}}', "queue must be"),
        ('{"queue": {"enabled": "true"}}', "queue must be"),
        ('{"queue": {"enabled": true, "x": 1}}', "queue must be"),
        ('{"performance_target": "FAST"}', "performance_target must be one of PERFORMANCE_OPTIMIZED"),
        ('{"performance_target": ["STANDARD"]}', "performance_target must be one of"),
        ('{"duration_target": "1h"}', "duration_target must be one of NO_FLEXIBILITY, 4h, 12h, 24h, 72h"),
        ('{"duration_target": 24}', "duration_target must be one of"),
        ('{"pipeline_params": {"full_refresh": null}}', "pipeline_params must be"),
        ('{"pipeline_params": {"full_refresh": NaN}}', "is not valid JSON"),
    ],
)
def test_what_cannot_be_sent_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidEntry) as refused:
        run_requests.run_options(text)
    assert str(refused.value).startswith(f"options {problem}")
    with pytest.raises(InvalidEntry, match=r"^options "):
        new_entry({"table_name": "sales", "options": text}, None)


def test_every_column_of_a_new_entry() -> None:
    given = {
        "table_name": "sales",
        "workspace": "default",
        "job_name": "load",
        "parameter_style": "job_parameters",
        "parameters": {"day": "1"},
        "options": {"only": ["load"]},
        "priority": 2,
        "max_attempts": 0,
        "retry_mode": "repair",
        "run_timeout_seconds": 0,
        "queue_timeout_seconds": 60,
    }
    expected = {**given, "parameters": '{"day": "1"}', "options": '{"only": ["load"]}'}
    assert new_entry(given, ["default"]) == NewEntry(**expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"job_id": 1, "job_name": "load"}, "job_id and job_name are both given: leave one of them out"),
        ({"job_name": " "}, "job_name must be a non-empty text"),
        ({"retry_mode": "Repair"}, "retry_mode must be run or repair"),
        ({"retry_mode": 1}, "retry_mode must be a non-empty text"),
        ({"run_timeout_seconds": -1}, "run_timeout_seconds must be a whole number from 0"),
        ({"queue_timeout_seconds": True}, "queue_timeout_seconds must be a whole number from 0"),
        ({"options": ["only"]}, "options must be an object in JSON"),
    ],
)
def test_wrong_values_of_a_new_entry(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidEntry) as refused:
        new_entry({"table_name": "sales", **given}, None)
    assert str(refused.value).startswith(problem)
