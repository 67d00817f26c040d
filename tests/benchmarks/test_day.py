"""The benchmark of slots runs, at a small size, and counts what it should."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import day
from benchmarks.simulated.day import Day, Load, Ours
from benchmarks.slots import best_possible, used
from benchmarks.tables import Table, markdown

LOAD = Load(entries=40, source_tables=30, cap=8, foreign=1, run_seconds=120, waves=2)


@pytest.fixture(scope="module")
def plot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plot") / "slots.svg"


@pytest.fixture(scope="module")
def table(plot: Path) -> Table:
    return day.measured(LOAD, (day.BEFORE, day.TIMERS, day.NOTIFIED), plot=plot)


def test_each_way_ends_all_entries_and_none_is_better_than_the_best(table: Table) -> None:
    assert [row[0] for row in table.rows] == [day.BEFORE.name, day.TIMERS.name, day.NOTIFIED.name]
    assert all(float(row[5]) >= 1 for row in table.rows)
    assert "8 slots" in markdown(table)


def test_slots_are_used_better_with_notifications_than_before(table: Table) -> None:
    before, _, notified = (float(row[1].removesuffix(" %")) for row in table.rows)
    assert before < notified <= 100


def test_the_plot_has_a_line_for_each_way(table: Table, plot: Path) -> None:
    lines = ElementTree.parse(plot).findall("{http://www.w3.org/2000/svg}polyline")  # noqa: S314 - our own
    assert len(lines) == len(table.rows)


def test_an_entry_that_comes_over_http_waits_for_no_timer() -> None:
    load = Load(entries=10, source_tables=100, cap=20, foreign=0, run_seconds=60, waves=6, wave_seconds=7)
    by_sql, over_http = (float(row[3]) for row in day.waited({"few": load}).rows)
    assert over_http < by_sql


def a_day(*ours: tuple[str, float, float, float], foreign: tuple[tuple[float, float], ...] = ()) -> Day:
    runs = [Ours(source_table=a, inserted=b, began=c, ended=d) for a, b, c, d in ours]
    return Day(cap=2, ours=runs, foreign=list(foreign), calls=0, transactions=0)


def test_a_slot_is_free_from_the_end_of_a_run_to_the_next() -> None:
    # Both slots are taken until 10; one of them is free for 5 s while c waits.
    spent = used(a_day(("a", 0, 0, 10), ("b", 0, 0, 20), ("c", 0, 15, 20)))
    assert spent.gaps == [0, 0, 5]
    assert spent.share == pytest.approx((10 * 2 + 5 * 1) / 30)


def test_an_entry_whose_table_has_a_run_leaves_no_slot_unused() -> None:
    spent = used(a_day(("a", 0, 0, 10), ("a", 0, 12, 20)))
    assert spent.gaps == [0, 2]
    assert spent.share == 0  # from 10 to 12, the only time when something could have gone on


def test_a_run_of_others_takes_a_slot() -> None:
    busy = a_day(("a", 0, 0, 10), ("b", 0, 10, 20), foreign=((0, 10),))
    assert used(busy).share == 1
    assert best_possible(busy) == pytest.approx(15)  # 10 s in one slot, then 5 s in two


def test_the_runs_of_a_table_follow_one_another_in_the_best_schedule_too() -> None:
    assert best_possible(a_day(("a", 0, 0, 10), ("a", 0, 10, 20))) == 20
    assert best_possible(a_day(("a", 0, 0, 10), ("a", 30, 30, 40))) == 40
