"""Why an entry waits: the rule, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.models import AliveRun, Entry, JobKey
from orchestrator.core.slots import JobRoom, Obstacles
from orchestrator.core.states import Status
from orchestrator.core.waiting import Candidate, Candidates, Reason, Slots, explain
from tests.world import policy

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ENTRY = Entry(
    id=1, entry_guid="g", workspace="default", table_name="sales", job_id=None,
    parameter_style="notebook_params", parameters=None, priority=0, status=Status.PENDING, runid=None,
    submission=0, attempt=0, max_attempts=None, available_at=NOW, lease_expires_at=None, deliveries=0,
    cancel_requested=False, last_error=None, created_at=NOW, updated_at=NOW, submitted_at=None,
    finished_at=None,
)  # fmt: skip
LATER = NOW + timedelta(seconds=1)


UNKNOWN = Slots()


def reasons(*candidates: Candidate, slots: Slots = UNKNOWN, **changes: Any) -> list[Reason]:
    found = Candidates(candidates=list(candidates), now=NOW)
    return [waiting.reason for waiting in explain(found, slots, policy(**changes))]


def waits(*, busy: bool = False, held: bool = False, **changes: Any) -> Candidate:
    entry = replace(ENTRY, **changes)
    return Candidate(entry=entry, table=hash(entry.table_name), table_busy=busy, table_held=held)


def test_a_job_that_is_full_holds_its_entries_and_no_others() -> None:
    room = JobRoom(job_id=7, max_concurrent_runs=3, ours=1, foreign=1)
    # The same job, by its id and by its name: together they have one slot.
    slots = Slots(free=2, obstacles=Obstacles(rooms={JobKey(job_id=7): room, JobKey(job_name="x"): room}))
    assert reasons(
        waits(id=1, table_name="a", job_id=7),
        waits(id=2, table_name="b", job_name="x"),
        waits(id=3, table_name="c"),
        waits(id=4, table_name="d", job_id=8),
        slots=slots,
    ) == [Reason.NEXT, Reason.JOB, Reason.NEXT, Reason.CAP]


def test_a_run_that_is_active_again_keeps_its_table_busy() -> None:
    slots = Slots(obstacles=Obstacles(alive=(AliveRun(entry_id=1, run_id=7, table_name="sales"),)))
    candidates = [waits(held=True), waits(id=2, held=True), waits(id=3, table_name="orders")]
    assert reasons(*candidates, slots=slots) == [Reason.ACTIVE_RUN, Reason.ACTIVE_RUN, Reason.NEXT]
    assert reasons(*candidates, slots=slots, serialize_tables=False) == [
        Reason.ACTIVE_RUN,
        Reason.NEXT,
        Reason.NEXT,
    ]


@pytest.mark.parametrize(
    ("candidate", "slots", "reason"),
    [
        (waits(), Slots(), Reason.NEXT),
        (waits(), Slots(free=1), Reason.NEXT),
        (waits(), Slots(free=0), Reason.CAP),
        (waits(), Slots(free=0, reachable=False), Reason.UNREACHABLE),
        (waits(), Slots(free=1, reachable=False), Reason.UNREACHABLE),
        (waits(busy=True), Slots(free=1), Reason.SAME_TABLE),
        (waits(busy=True), Slots(reachable=False), Reason.SAME_TABLE),
        (waits(available_at=LATER), Slots(), Reason.BACK_OFF),
        (waits(available_at=LATER, busy=True), Slots(reachable=False), Reason.BACK_OFF),
        (waits(cancel_requested=True), Slots(), Reason.CANCEL),
        (waits(cancel_requested=True, available_at=LATER), Slots(), Reason.CANCEL),
        (waits(cancel_requested=True, deliveries=1), Slots(), Reason.NEXT),  # there may be a run
        (waits(status=Status.FAILED, attempt=2), Slots(), Reason.NEXT),
        (waits(status=Status.FAILED, attempt=3), Slots(), Reason.ATTEMPTS),
        (waits(status=Status.FAILED, attempt=3, max_attempts=4), Slots(), Reason.NEXT),
        (waits(status=Status.FAILED, attempt=3, max_attempts=0), Slots(), Reason.NEXT),
        (waits(status=Status.FAILED, attempt=1, max_attempts=1), Slots(), Reason.ATTEMPTS),
        (waits(status=Status.FAILED, attempt=3, cancel_requested=True), Slots(), Reason.ATTEMPTS),
        (waits(status=Status.PENDING, attempt=3), Slots(), Reason.NEXT),
    ],
)
def test_reason_of_one_entry(candidate: Candidate, slots: Slots, reason: Reason) -> None:
    assert reasons(candidate, slots=slots) == [reason]


def test_entries_take_the_slots_in_their_order() -> None:
    first, backs_off, second, third = (
        waits(table_name="a"),
        waits(table_name="b", available_at=LATER),
        waits(table_name="c"),
        waits(table_name="d"),
    )
    assert reasons(first, backs_off, second, third, slots=Slots(free=2)) == [
        Reason.NEXT,
        Reason.BACK_OFF,
        Reason.NEXT,
        Reason.CAP,
    ]


def test_a_table_is_claimed_once_unless_tables_are_not_serialized() -> None:
    twice = (waits(), waits(id=2))
    assert reasons(*twice) == [Reason.NEXT, Reason.SAME_TABLE]
    assert reasons(*twice, serialize_tables=False) == [Reason.NEXT, Reason.NEXT]
    assert reasons(waits(busy=True), serialize_tables=False) == [Reason.NEXT]


REFUSED = JobKey(job_id=7)
HEARD = NOW - timedelta(minutes=20)


@pytest.mark.parametrize(
    ("changes", "goes_behind"),
    [
        ({"slot_waits": 1}, True),
        ({"doubts": "[]"}, True),
        ({}, False),
        ({"slot_waits": 1, "available_at": NOW - timedelta(minutes=14, seconds=59)}, True),
        ({"slot_waits": 1, "available_at": NOW - timedelta(minutes=15)}, False),
    ],
)
def test_an_entry_that_had_no_slot_goes_behind_for_a_quarter_of_an_hour(
    changes: dict[str, Any], goes_behind: bool
) -> None:
    """As the claim does it (goes_behind in entries.sql): the slot is the other one's."""
    found = Candidates(
        candidates=[waits(id=1, table_name="a", **changes), waits(id=2, table_name="b")], now=NOW
    )
    order = [waiting.entry.id for waiting in explain(found, Slots(free=1), policy())]
    assert order == ([2, 1] if goes_behind else [1, 2])


def test_of_a_refused_job_those_try_who_have_not_heard_it_and_then_who_heard_it_longest_ago() -> None:
    entries = [
        waits(id=1, table_name="a", job_id=7, doubts="[]", available_at=HEARD),
        waits(id=2, table_name="b", job_id=7, doubts="[]", available_at=HEARD - timedelta(minutes=1)),
        waits(id=3, table_name="c", job_id=7, available_at=NOW),
        waits(id=4, table_name="d", job_id=7, available_at=LATER),
    ]
    for tries, expected in ((1, {3}), (2, {2, 3}), (3, {1, 2, 3})):
        found = Candidates(candidates=entries, now=NOW)
        explained = explain(found, Slots(tries={REFUSED: tries}), policy())
        assert {each.entry.id for each in explained if each.reason is Reason.NEXT} == expected
