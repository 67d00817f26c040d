"""Which listed runs a pass looks up all the same: a few in each pass, and each one again and again."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from orchestrator.core.models import Entry
from orchestrator.core.second_looks import in_turn, sample_size
from tests.test_time_limits import entry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def running_since(minutes: float, entry_id: int) -> Entry:
    return entry(id=entry_id, submitted_at=NOW - timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("runs", "looks"), [(0, 0), (1, 1), (20, 1), (21, 2), (100, 5), (160, 8), (161, 8), (2000, 8)]
)
def test_one_in_twenty_is_looked_up_but_no_more_than_eight(runs: int, looks: int) -> None:
    assert sample_size(runs) == looks


def test_only_runs_that_have_gone_on_for_a_quarter_of_an_hour_are_looked_up() -> None:
    ages = {1: 14.9, 2: 15, 4: 90}
    runs = [running_since(minutes, entry_id) for entry_id, minutes in ages.items()]
    runs.append(entry(id=3, submitted_at=None))
    assert sorted(in_turn(runs, NOW)) == [2, 4]


#: Old runs, and the passes in which each of them is looked up.
BOUNDS = [(1, 1), (5, 23), (160, 23), (1000, 127)]


@pytest.mark.parametrize("seconds", [30, 60, 90, 300, 420, 3600, 86_400])
@pytest.mark.parametrize(("runs", "bound"), BOUNDS)
def test_each_run_is_looked_up_within_a_bound_of_passes(runs: int, bound: int, seconds: int) -> None:
    assert passes_until_all_are_looked_up(runs, seconds) <= bound


@pytest.mark.parametrize("seconds", [10, 15, 45, 100])
@pytest.mark.parametrize(("runs", "bound"), BOUNDS)
def test_no_schedule_leaves_a_run_out(runs: int, bound: int, seconds: int) -> None:
    assert passes_until_all_are_looked_up(runs, seconds) <= bound * 3


def passes_until_all_are_looked_up(runs: int, seconds: float) -> int:
    """Count the passes, the first of which begins 7 s after a whole half minute."""
    entries = [running_since(9_000, entry_id) for entry_id in range(10, 10 + runs)]
    unseen = {each.id for each in entries}
    for number in count(1):
        began = NOW + timedelta(seconds=7 + seconds * number)
        unseen -= set(in_turn(entries, began)[: sample_size(runs)])
        if not unseen or number > 5_000:
            return number
    raise AssertionError("not reached")
