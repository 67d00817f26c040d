"""What becomes of an entry whose run is over, and when it may run again."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator.core import decisions, time_limits
from orchestrator.core.models import Entry, Run, StopReason, Verdict
from orchestrator.core.states import Status
from tests.test_decisions import ENTRY, NOW
from tests.test_outcomes import run
from tests.world import policy as make_policy

RUNNING = replace(ENTRY, status=Status.RUNNING, runid=7, submitted_at=NOW, queue_seconds=0.0, request="{}")

FAILED = run("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR")
NO_SLOT = run("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR")
PLATFORM = run("INTERNAL_ERROR", None, "INTERNAL_ERROR", "INTERNAL_ERROR")
SKIPPED = run("SKIPPED", None, "SKIPPED", "CLIENT_ERROR")
CANCELED = run("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR")


def verdict(entry: Entry, state: Run, **settings: object) -> Verdict:
    return decisions.verdict_on_run(entry, state, "why", policy=make_policy(**settings), jitter=0.5)


@pytest.mark.parametrize(
    ("state", "attempt", "cancel", "to", "spent"),
    [
        (run("TERMINATED", "SUCCESS"), 1, False, Status.DONE, True),
        (run("TERMINATED", "SUCCESS"), 1, True, Status.DONE, True),
        (FAILED, 1, False, Status.FAILED, True),
        (FAILED, 2, False, Status.FAILED, True),
        (FAILED, 3, False, Status.DEAD, True),
        (run("TERMINATED", "FAILED", "RESOURCE_NOT_FOUND"), 1, False, Status.DEAD, True),
        (CANCELED, 1, False, Status.CANCELED, True),
        (CANCELED, 1, True, Status.CANCELED, True),
        (FAILED, 1, True, Status.CANCELED, True),
        (NO_SLOT, 3, False, Status.PENDING, False),
        (NO_SLOT, 3, True, Status.CANCELED, True),
        (PLATFORM, 3, False, Status.FAILED, False),
        (PLATFORM, 3, True, Status.CANCELED, True),
        (SKIPPED, 1, False, Status.DEAD, True),
        (run("TERMINATED", "FAILED", "BREAKING_CHANGE", "CLIENT_ERROR"), 3, False, Status.FAILED, False),
    ],
)
def test_verdict(state: Run, attempt: int, cancel: bool, to: Status, spent: bool) -> None:
    ended = verdict(replace(RUNNING, attempt=attempt, cancel_requested=cancel), state)
    assert (ended.to, ended.attempt_spent) == (to, spent)
    assert (ended.error is None) == (to is Status.DONE)
    assert (ended.delay_seconds > 0) == (to in {Status.FAILED, Status.PENDING})


def test_success_with_failures_keeps_the_errors() -> None:
    ended = verdict(RUNNING, run("TERMINATED", "SUCCESS_WITH_FAILURES"))
    assert (ended.to, ended.error) == (Status.DONE, "why")


@pytest.mark.parametrize("state", [NO_SLOT, PLATFORM])
def test_wait_without_an_attempt_doubles_up_to_an_hour(state: Run) -> None:
    entry, waits = RUNNING, []
    for _ in range(8):
        ended = verdict(entry, state)
        waits.append(ended.delay_seconds)
        entry = replace(
            entry, slot_waits=ended.slot_waits, platform_failures=ended.platform_failures, attempt=1
        )
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert {entry.slot_waits, entry.platform_failures} == {0, 8}


def test_times_without_a_slot_leave_the_platform_s_count() -> None:
    ended = verdict(replace(RUNNING, platform_failures=3, slot_waits=2), NO_SLOT)
    assert (ended.slot_waits, ended.platform_failures) == (3, 3)


@pytest.mark.parametrize("state", [FAILED, run("TERMINATED", "SUCCESS"), CANCELED])
def test_end_of_another_kind_begins_the_counts_anew(state: Run) -> None:
    ended = verdict(replace(RUNNING, platform_failures=3, slot_waits=2), state)
    assert (ended.slot_waits, ended.platform_failures) == (0, 0)


@pytest.mark.parametrize(("times", "to"), [(0, Status.FAILED), (9, Status.FAILED), (10, Status.DEAD)])
def test_failures_of_the_platform_have_a_bound(times: int, to: Status) -> None:
    ended = verdict(replace(RUNNING, platform_failures=times), PLATFORM)
    assert (ended.to, ended.attempt_spent, ended.platform_failures) == (to, False, times + 1)
    assert ("MAX_PLATFORM_RETRIES" in (ended.error or "")) == (to is Status.DEAD)


def test_no_retry_after_a_failure_of_the_platform() -> None:
    assert verdict(RUNNING, PLATFORM, max_platform_retries=0).to is Status.DEAD


def test_cancellation_by_a_person_is_retried_on_request() -> None:
    ended = verdict(RUNNING, CANCELED, retry_canceled_runs=True)
    assert (ended.to, ended.attempt_spent) == (Status.FAILED, True)
    assert verdict(replace(RUNNING, attempt=3), CANCELED, retry_canceled_runs=True).to is Status.DEAD


@pytest.mark.parametrize(
    ("reason", "state", "to", "words"),
    [
        (StopReason.RUN_TIMEOUT, CANCELED, Status.FAILED, "longer than RUN_TIMEOUT_SECONDS (100 s)"),
        (StopReason.RUN_TIMEOUT, FAILED, Status.FAILED, "why"),
        (StopReason.RUN_TIMEOUT, run("TERMINATED", "SUCCESS"), Status.DONE, ""),
        (StopReason.QUEUE_TIMEOUT, CANCELED, Status.PENDING, "longer than QUEUE_TIMEOUT_SECONDS (200 s)"),
        (StopReason.QUEUE_TIMEOUT, SKIPPED, Status.DEAD, "why"),
        (StopReason.RESTART, CANCELED, Status.PENDING, "restarted by an operator"),
        (StopReason.RESTART, run("TERMINATED", "SUCCESS"), Status.PENDING, "restarted by an operator"),
        (StopReason.RESTART, FAILED, Status.PENDING, "restarted by an operator"),
    ],
)
def test_run_that_the_app_cancelled(reason: StopReason, state: Run, to: Status, words: str) -> None:
    entry = replace(RUNNING, stop_reason=reason)
    ended = verdict(entry, state, run_timeout_seconds=100, queue_timeout_seconds=200)
    assert ended.to is to
    assert words in (ended.error or "")


def test_restart_waits_for_nothing_and_spends_no_attempt() -> None:
    ended = verdict(replace(RUNNING, stop_reason=StopReason.RESTART), CANCELED)
    assert (ended.delay_seconds, ended.attempt_spent) == (0, False)


def test_cancellation_after_a_restart_counts() -> None:
    entry = replace(RUNNING, stop_reason=StopReason.RESTART, cancel_requested=True)
    assert verdict(entry, CANCELED).to is Status.CANCELED


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("entry", "seconds", "reason"),
    [
        (RUNNING, 100, None),
        (RUNNING, 101, StopReason.RUN_TIMEOUT),
        (replace(RUNNING, queue_seconds=500.0), 600, None),
        (replace(RUNNING, queue_seconds=500.0), 601, StopReason.RUN_TIMEOUT),
        (replace(RUNNING, queue_seconds=None), 1000, None),
        (replace(RUNNING, queue_seconds=None), 1001, StopReason.QUEUE_TIMEOUT),
        (replace(RUNNING, run_timeout_seconds=10), 11, StopReason.RUN_TIMEOUT),
        (replace(RUNNING, run_timeout_seconds=0), 10_000, None),
        (replace(RUNNING, queue_seconds=None, queue_timeout_seconds=10), 11, StopReason.QUEUE_TIMEOUT),
        (replace(RUNNING, queue_seconds=None, queue_timeout_seconds=0), 10_000, None),
        (replace(RUNNING, submitted_at=None), 10_000, None),
    ],
)
def test_queueing_and_executing_have_a_limit_each(
    entry: Entry, seconds: float, reason: StopReason | None
) -> None:
    limits = make_policy(run_timeout_seconds=100, queue_timeout_seconds=1000)
    assert time_limits.exceeded_limit(entry, after(seconds), limits) is reason


def test_entry_s_own_limit_is_named() -> None:
    entry = replace(RUNNING, stop_reason=StopReason.RUN_TIMEOUT, run_timeout_seconds=7)
    assert "longer than run_timeout_seconds (7 s)" in (verdict(entry, CANCELED).error or "")
