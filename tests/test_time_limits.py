"""When a run is stopped, told of or asked about: the rule, to the second."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core import time_limits
from orchestrator.core.models import Entry, StopReason, StrayRun
from orchestrator.core.states import Status
from tests.world import policy

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
ENTRY = Entry(
    id=1, entry_guid="g", workspace="default", table_name="sales", job_id=None,
    parameter_style="notebook_params", parameters=None, priority=0, status=Status.RUNNING, runid=7,
    submission=1, attempt=1, max_attempts=None, available_at=NOW, lease_expires_at=None, deliveries=1,
    cancel_requested=False, last_error=None, created_at=NOW, updated_at=NOW, submitted_at=NOW,
    finished_at=None, queue_seconds=0.0,
)  # fmt: skip


def entry(**changes: Any) -> Entry:
    return replace(ENTRY, **changes)


@pytest.mark.parametrize(
    ("run", "takes"),
    [
        (entry(queue_seconds=None), timedelta(hours=48)),
        (entry(queue_seconds=None, run_state="TERMINATING"), timedelta(hours=48)),
        (entry(run_state="TERMINATING", run_state_since=NOW), HOUR),
        (entry(run_state="BLOCKED", run_state_since=NOW, submitted_at=NOW - 90 * HOUR), timedelta(days=1)),
    ],
)
def test_a_run_stands_still_after_a_time(run: Entry, takes: timedelta) -> None:
    assert time_limits.in_state_since(run) == NOW
    assert time_limits.stands_still(run, NOW + takes)
    assert not time_limits.stands_still(run, NOW + takes - SECOND)


def test_a_run_whose_state_is_not_noted_does_not_stand_still() -> None:
    assert not time_limits.stands_still(entry(run_state=None, run_state_since=None), NOW + 90 * HOUR)


@pytest.mark.parametrize(
    ("run", "settings", "words"),
    [
        (entry(stop_reason="RUN_TIMEOUT"), {"run_timeout_seconds": 90}, "RUN_TIMEOUT_SECONDS (90 s)"),
        (entry(stop_reason="RUN_TIMEOUT"), {"run_timeout_seconds": 0}, "RUN_TIMEOUT_SECONDS"),
        (entry(stop_reason="RUN_TIMEOUT", run_timeout_seconds=5), {}, "run_timeout_seconds (5 s)"),
        (entry(stop_reason="QUEUE_TIMEOUT", queue_timeout_seconds=5), {}, "queue_timeout_seconds (5 s)"),
    ],
)
def test_the_limit_that_a_run_was_over_is_named(run: Entry, settings: dict[str, Any], words: str) -> None:
    assert time_limits.limit_in_words(run, policy(**settings)) == words


@pytest.mark.parametrize(
    ("run", "reason", "after"),
    [
        (entry(queue_timeout_seconds=60), StopReason.RUN_TIMEOUT, 90),
        (entry(queue_timeout_seconds=60, queue_seconds=None), StopReason.QUEUE_TIMEOUT, 60),
    ],
)
def test_a_limit_is_exceeded_once_it_is_over(run: Entry, reason: StopReason, after: int) -> None:
    limits = policy(run_timeout_seconds=90)
    assert time_limits.exceeded_limit(run, NOW + after * SECOND, limits) is None
    assert time_limits.exceeded_limit(run, NOW + (after + 1) * SECOND, limits) is reason


def test_calls_to_cancel_a_run_grow_apart() -> None:
    assert time_limits.may_ask_to_cancel(ENTRY, NOW)
    assert time_limits.may_ask_to_cancel(entry(cancel_asked_at=NOW), NOW)
    asked = entry(cancel_asked_at=NOW, cancel_repeated_at=NOW + 60 * SECOND)
    assert not time_limits.may_ask_to_cancel(asked, NOW + 119 * SECOND)
    assert time_limits.may_ask_to_cancel(asked, NOW + 120 * SECOND)
    long_ago = replace(asked, cancel_asked_at=NOW - 9 * HOUR)
    assert not time_limits.may_ask_to_cancel(long_ago, NOW + 959 * SECOND)
    assert time_limits.may_ask_to_cancel(long_ago, NOW + 960 * SECOND), "a quarter of an hour at most"


@pytest.mark.parametrize(("began", "pause"), [(0, 60), (60, 60), (600, 600), (9 * 3600, 3600)])
def test_calls_to_cancel_a_run_that_nobody_wants_grow_apart(began: int, pause: int) -> None:
    """They double from a minute up to an hour."""
    stray = StrayRun(workspace="default", run_id=7, entry_id=1, since=NOW - began * SECOND)
    assert time_limits.may_cancel_stray(stray, NOW)
    asked = replace(stray, asked_at=NOW)
    assert not time_limits.may_cancel_stray(asked, NOW + (pause - 1) * SECOND)
    assert time_limits.may_cancel_stray(asked, NOW + pause * SECOND)
    assert time_limits.may_cancel_stray(asked, NOW - SECOND), "the clock has gone back"


def test_a_run_is_young_for_two_minutes() -> None:
    assert time_limits.is_young(NOW, NOW + 119 * SECOND)
    assert not time_limits.is_young(NOW, NOW + 120 * SECOND)
    assert not time_limits.is_young(None, NOW)


def test_a_cancellation_that_is_not_heeded_is_told_after_a_quarter_of_an_hour() -> None:
    assert not time_limits.heeds_no_cancellation(NOW, NOW + 899 * SECOND)
    assert time_limits.heeds_no_cancellation(NOW, NOW + 900 * SECOND)
    assert not time_limits.heeds_no_cancellation(None, NOW + 90 * HOUR)
