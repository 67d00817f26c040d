"""Which refusals of jobs hold, and how many entries may try: the rule, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core import refused_jobs
from orchestrator.core.models import JobKey
from orchestrator.core.refused_jobs import Accepted, Hold, Mark, setting_of
from orchestrator.core.slots import JobRoom, limited

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SETTING = setting_of(5, None)
OWN = Mark(
    entry_id=1, job=JobKey(), what=SETTING, heard_by=1, since=NOW, first_at=NOW, heard_at=NOW
)  # fmt: skip
DENIED = replace(OWN, job=JobKey(job_id=6), what="DENIED")


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


def holds(*marks: Mark, at: float = 1, accepted: Accepted = Accepted()) -> list[Hold]:  # noqa: B008
    return refused_jobs.holds(marks, SETTING, accepted, minutes(at))


@pytest.mark.parametrize(
    ("mark", "accepted", "is_held"),
    [
        (OWN, Accepted(of_any_job=minutes(0.5)), True),
        (OWN, Accepted(of_any_job=minutes(0.5), of_own_job=minutes(0.5)), False),
        (OWN, Accepted(of_any_job=minutes(-0.5), of_own_job=minutes(-0.5)), True),
        (DENIED, Accepted(of_any_job=minutes(0.5)), False),
        (DENIED, Accepted(of_any_job=minutes(-0.5)), True),
    ],
)
def test_a_call_that_was_accepted_since_ends_a_hold(mark: Mark, accepted: Accepted, is_held: bool) -> None:
    assert bool(holds(mark, accepted=accepted)) is is_held


def test_a_hold_ends_by_itself_and_with_another_setting() -> None:
    assert holds(OWN, at=15) != []
    assert holds(OWN, at=15.1) == []
    assert holds(OWN, at=-15.1) == [], "the clock went back"
    assert holds(replace(OWN, what=setting_of(7, None))) == []
    assert holds(replace(OWN, what="DENIED")) == [], "the entry named a job then"


def test_a_missing_permission_is_believed_once_three_entries_have_heard_it() -> None:
    others = [replace(DENIED, entry_id=number, job=JobKey(job_id=number)) for number in (2, 3)]
    assert [each.is_believed for each in holds(DENIED, others[0])] == [False, False]
    assert [each.is_believed for each in holds(DENIED, *others)] == [True, True, True]
    assert [each.is_believed for each in holds(replace(DENIED, heard_by=3))] == [True]
    assert [each.is_believed for each in holds(OWN)] == [True]


def test_one_entry_at_a_time_tries_after_each_pause() -> None:
    [hold] = holds(OWN, replace(OWN, entry_id=2, since=minutes(-4)))
    assert hold.since == minutes(-4)
    assert [hold.tries(minutes(at), under_way=0) for at in (0, 3.9, 4, 9)] == [0, 0, 1, 1]
    assert hold.tries(minutes(4), under_way=1) == 0
    long = replace(hold, since=minutes(-600))
    assert [long.tries(minutes(at), under_way=0) for at in (9.9, 10)] == [0, 1]


def test_a_try_needs_room_of_its_job() -> None:
    full = JobRoom(job_id=6, max_concurrent_runs=1, ours=1, foreign=0)
    rooms = {JobKey(job_id=6): full, JobKey(job_id=7): full}
    found = limited(rooms, {JobKey(job_id=6): 1, JobKey(): 1})
    assert [found[key].free for key in (JobKey(job_id=6), JobKey(), JobKey(job_id=7))] == [0, 1, 0]
    assert sorted(room.job_id for room in found.values()) == [-1, 0, 6]


def test_what_an_entry_keeps_is_read_again() -> None:
    mark = replace(OWN, what=setting_of(None, "日次" * 500), heard_by=7)
    assert len(mark.kept()) < 300
    assert refused_jobs.read(1, JobKey(), mark.kept()) == mark
    assert refused_jobs.read(1, JobKey(), '{"REFUSAL": [1, "2026-03-01T12:00:00+00:00"]}') is None
