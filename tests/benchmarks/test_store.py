"""The benchmark of the store runs, at a tiny size: it fills, measures and prints."""

import pytest

from benchmarks import store
from benchmarks.tables import Table, markdown


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    return list(store.measured(store.Size(history=(100, 300), waiting=500, rounds=2, repeats=2)))


def test_each_way_is_measured_on_each_history(tables: list[Table]) -> None:
    assert [(row[0], row[1]) for row in tables[0].rows] == [
        (name, history) for name in ("claim of 10", "submission", "end") for history in ("100", "300")
    ]
    assert [row[-1] for row in tables[0].rows[::2]] == ["1.00"] * 3  # compared with the shortest


def test_what_is_asked_is_measured(tables: list[Table]) -> None:
    assert len(tables[1].rows) > 5
    assert all(float(cell.replace(",", "")) > 0 for row in tables[1].rows for cell in row[1:])


def test_the_tables_are_printed(tables: list[Table]) -> None:
    assert "500 entries wait" in markdown(tables[0])
