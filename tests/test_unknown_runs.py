"""Which run a call without an answer may have begun: the rule, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core import run_requests
from orchestrator.core.models import ActiveRun, AliveRun, Entry, RunRequest
from orchestrator.core.slots import Obstacles
from orchestrator.core.states import Status
from orchestrator.core.unknown_runs import LOOKED_BACK, PossibleRun, ended_since, possible_runs

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
REQUEST = RunRequest(
    job_id=5, idempotency_token="t", parameter_style="notebook_params", parameters={}, claimed_at=NOW
)
ENTRY = Entry(
    id=1, entry_guid="g", workspace="default", table_name="sales", job_id=None,
    parameter_style="notebook_params", parameters=None, priority=0, status=Status.DEAD, runid=None,
    submission=1, attempt=1, max_attempts=None, available_at=NOW, lease_expires_at=None, deliveries=2,
    cancel_requested=False, last_error=None, created_at=NOW, updated_at=NOW, submitted_at=None,
    finished_at=NOW + 10 * MINUTE, request=run_requests.freeze(REQUEST),
)  # fmt: skip
RUN = ActiveRun(run_id=7, job_id=5, started_at=NOW + MINUTE)


@pytest.mark.parametrize(
    ("entry", "run", "is_possible"),
    [
        ({}, {}, True),
        ({}, {"started_at": None}, True),
        ({}, {"started_at": NOW - 2 * MINUTE}, True),
        ({}, {"started_at": NOW - 2 * MINUTE - SECOND}, False),
        ({}, {"started_at": NOW + 12 * MINUTE}, True),
        ({}, {"started_at": NOW + 12 * MINUTE + SECOND}, False),
        ({"finished_at": None}, {"started_at": NOW + 60 * MINUTE}, True),
        ({}, {"job_id": 6}, False),
        ({}, {"is_child": True}, False),
        ({}, {"is_unasked": True}, False),
        ({"request": "by hand"}, {}, True),
        ({"request": "by hand"}, {"job_id": 6}, True),
        ({"request": "by hand"}, {"started_at": NOW + 12 * MINUTE + SECOND}, False),
    ],
)
def test_a_run_that_began_while_the_entry_called_may_be_its_own(
    entry: dict[str, Any], run: dict[str, Any], is_possible: bool
) -> None:
    found = possible_runs([replace(ENTRY, **entry)], [replace(RUN, **run)])
    assert [each.run.run_id for each in found] == ([7] if is_possible else [])


def test_without_a_time_in_the_request_the_last_claim_counts() -> None:
    request = run_requests.freeze(replace(REQUEST, claimed_at=None))
    entry = replace(ENTRY, request=request, claimed_at=NOW + 4 * MINUTE)
    assert possible_runs([entry], [RUN]) == []
    assert len(possible_runs([replace(entry, claimed_at=None)], [RUN])) == 1


def test_no_more_than_five_runs_are_kept_for_an_entry() -> None:
    found = possible_runs([ENTRY], [replace(RUN, run_id=number) for number in range(9)])
    assert [each.run.run_id for each in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("started", "since"),
    [
        ([], NOW - 2 * MINUTE),
        ([NOW - 9 * MINUTE, NOW - 5 * MINUTE], NOW - 11 * MINUTE),
        ([NOW - 9 * MINUTE, None], NOW - LOOKED_BACK),
        ([NOW - 2 * LOOKED_BACK], NOW - LOOKED_BACK),
    ],
)
def test_since_when_an_entry_must_have_ended(started: list[datetime | None], since: datetime) -> None:
    runs = [replace(RUN, started_at=each) for each in started]
    assert ended_since(runs, NOW) == since


@pytest.mark.parametrize(
    ("table", "may_look"), [(None, True), ("stock", True), ("sales", False), ("SALES ", False)]
)
def test_no_entry_looks_for_its_run_beside_one_that_goes_on(table: str | None, may_look: bool) -> None:
    """Its token may find none and begin one. Some databases ignore case and blanks at the end of a name."""
    alive = AliveRun(entry_id=2, run_id=8, table_name=table)
    obstacles = Obstacles(alive=(alive,), possible=(PossibleRun(entry=ENTRY, run=RUN),))
    assert obstacles.finders == (frozenset({ENTRY.id}) if may_look else frozenset())
