"""The time limits of a pass add up, and the host ends no worker process before them."""

import json
from pathlib import Path

import pytest

from orchestrator.core import pass_budget as budget
from orchestrator.core.errors import SettingsError
from orchestrator.settings import load
from orchestrator.usecases import run_ended
from tests.test_settings import GOOD

HOST = json.loads((Path(__file__).parents[1] / "host.json").read_text(encoding="utf-8"))


def seconds(span: str) -> float:
    hours, minutes, rest = span.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_both_ways_to_a_claim_fit_into_the_work_of_a_pass() -> None:
    list_is_long = budget.LIST_SECONDS + budget.AFTER_LIST_SECONDS + budget.NEW_JOBS_SECONDS
    settling_is_long = (
        budget.SETTLE_SECONDS + budget.AFTER_LIST_SECONDS + budget.LIST_AGAIN_SECONDS + budget.REVIVE_SECONDS
    )
    for before_the_claim in (list_is_long, settling_is_long):
        together = budget.SNAPSHOT_SECONDS + before_the_claim + budget.CLAIM_SECONDS
        assert together <= budget.WORK_SECONDS


def test_no_way_to_a_claim_is_longer() -> None:
    # What ends after the longest settling is not listed again: neither a whole list, nor one that failed.
    assert budget.AFTER_LIST_SECONDS < budget.FRESH_SECONDS
    assert budget.LIST_AGAIN_SECONDS < budget.SETTLE_SECONDS
    # Nor is a list that waits for jobs alone.
    assert budget.JOBS_SECONDS < budget.FRESH_SECONDS
    # Each way is cut off at its end, and not by the end of the pass.
    by_the_list = budget.CHECK_SECONDS + budget.FILL_BY_LIST_SECONDS
    with_another = budget.SETTLE_SECONDS + budget.AFTER_LIST_SECONDS + budget.FILL_SECONDS
    assert budget.SNAPSHOT_SECONDS + max(by_the_list, with_another) <= budget.WORK_SECONDS


def test_what_goes_on_beside_something_is_no_longer_than_that() -> None:
    assert budget.FIRST_LIST_SECONDS + budget.SECOND_LOOKS_SECONDS < budget.SETTLE_SECONDS
    assert budget.SETTLE_SECONDS + budget.AFTER_LIST_SECONDS <= budget.CHECK_SECONDS
    assert budget.JOB_SECONDS <= budget.JOBS_SECONDS <= budget.LIST_AGAIN_SECONDS
    assert budget.JOBS_SECONDS <= budget.CHECK_SECONDS
    assert budget.OPERATION_SECONDS <= budget.SETTLE_SECONDS


def test_a_pass_is_recorded_and_told_before_the_host_s_time_out() -> None:
    invocation = budget.WORK_SECONDS + budget.RECORD_SECONDS + budget.ALERTING_SECONDS
    assert invocation <= budget.INVOCATION_SECONDS < budget.FUNCTION_SECONDS
    assert seconds(HOST["functionTimeout"]) == budget.FUNCTION_SECONDS


def test_a_pass_that_takes_its_time_is_neither_late_nor_loses_what_it_has_claimed() -> None:
    """The host begins the next pass of a timer function when the one before is over."""
    usual = load(GOOD)
    assert usual.pass_late_seconds > budget.INVOCATION_SECONDS * 2
    assert usual.policy.submit_lease_seconds > budget.CLAIM_SECONDS


def test_no_call_of_a_submission_outlives_its_lease() -> None:
    """The host ends the worker process after ``functionTimeout``, and all calls that are under way in it."""
    shortest = load({**GOOD, "SUBMIT_LEASE_SECONDS": str(seconds(HOST["functionTimeout"]))})
    assert shortest.policy.submit_lease_seconds >= budget.FUNCTION_SECONDS
    with pytest.raises(SettingsError, match="SUBMIT_LEASE_SECONDS must be a number from 300 to 86,400"):
        load({**GOOD, "SUBMIT_LEASE_SECONDS": "299"})


def test_a_notification_fits_into_an_invocation() -> None:
    assert run_ended._EVENT_SECONDS * 2 < budget.INVOCATION_SECONDS
    assert budget.FILL_SECONDS < budget.INVOCATION_SECONDS
