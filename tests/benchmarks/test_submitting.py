"""The benchmark of submissions runs, and counts what it says it counts."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import submitting
from benchmarks.databricks_server import running_server
from benchmarks.tables import Table

SIZE, SECONDS = 12, 0.02

#: Airflow is not installed for a test.
WAYS = {name: way for name, way in submitting.WAYS.items() if way is not submitting.airflow}


@pytest.mark.e2e
def test_each_way_starts_a_run_for_each_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "ACTIVITY_SECONDS", 0.01)
    with running_server(tmp_path) as server:
        table = asyncio.run(submitting.compare(server, SIZE, SECONDS, WAYS))
    assert [row[0] for row in table.rows] == list(WAYS)
    ideal = 2 * SECONDS
    for name, seconds, ratio, *_, at_once in table.rows:
        assert float(seconds) >= ideal, name
        assert float(ratio) == pytest.approx(float(seconds) / ideal, abs=0.2)
        assert 1 <= int(at_once) <= submitting.AT_ONCE, name
    [whole] = [row[3] for row in table.rows if row[3]]
    assert float(whole) > ideal


def test_a_way_that_cannot_be_measured_is_a_note(tmp_path: Path) -> None:
    async def missing(*_: object) -> submitting.Measured:
        raise submitting.Unavailable("it is not there")

    async def compare() -> Table:
        with running_server(tmp_path) as server:
            return await submitting.compare(server, SIZE, SECONDS, {"a way": missing})

    table = asyncio.run(compare())
    assert table.rows == []
    assert "a way: not measured, it is not there." in table.notes
