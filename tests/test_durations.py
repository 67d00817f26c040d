"""How long runs usually take, and which take far longer: the rule, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core.durations import Duration, is_overdue, usual_seconds
from orchestrator.core.states import Status
from tests.test_waiting import ENTRY

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def took(execution: float | None, setup: float | None = None, **given: float | None) -> Duration:
    times = {"started_at": None, "finished_at": None, "queue_seconds": None}
    return Duration(execution_seconds=execution, setup_seconds=setup, **{**times, **given})  # type: ignore[arg-type]


def test_the_95th_percentile_of_the_successes() -> None:
    assert usual_seconds([]) is None
    assert usual_seconds([took(7.0)]) == 7.0
    assert usual_seconds([took(float(seconds)) for seconds in range(30, 0, -1)]) == 29.0
    assert usual_seconds([took(float(seconds)) for seconds in range(1, 21)]) == 19.0


def test_setup_belongs_to_a_run_and_databricks_queue_does_not() -> None:
    assert took(100.0, 20.0, queue_seconds=3600.0).seconds == 120.0


def test_a_run_of_several_tasks_has_only_its_times() -> None:
    several = Duration(
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=500),
        queue_seconds=100.0,
        setup_seconds=0.0,
        execution_seconds=0.0,
    )
    assert several.seconds == 400.0
    assert replace(several, finished_at=None).seconds is None
    assert usual_seconds([replace(several, finished_at=None), several]) == 400.0


@pytest.mark.parametrize(
    ("seconds", "usual", "overdue"),
    [
        (3601.0, 1200.0, True),
        (3600.0, 1200.0, False),  # three times as long is not more than three times
        (660.0, 60.0, True),
        (659.0, 60.0, False),  # less than ten minutes more
        (1e6, None, False),
    ],
)
def test_more_than_three_times_and_at_least_ten_minutes_more(
    seconds: float, usual: float | None, overdue: bool
) -> None:
    running = replace(
        ENTRY,
        status=Status.RUNNING,
        runid=1,
        submitted_at=NOW - timedelta(seconds=seconds + 5000),
        queue_seconds=5000.0,
    )
    assert is_overdue(running, usual, NOW) is overdue
    assert not is_overdue(replace(running, queue_seconds=None), usual, NOW)  # it still waits in the queue
    assert not is_overdue(replace(running, status=Status.DONE), usual, NOW)
