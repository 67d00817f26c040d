"""The example's rows."""

from pathlib import Path

from examples import landing
from examples.notebooks import ingest
from examples.rows import AWAITED, LATE_TABLE, MONTHS, ORIGINS, ROWS, UNKNOWN_TABLE


def test_there_are_enough_and_no_two_are_the_same() -> None:
    assert len(ROWS) >= 40
    assert len({row.table_name for row in ROWS}) == len(ROWS)


def test_every_slice_of_every_table_is_ingested_once() -> None:
    ingested = [
        ingest.Slice(**(row.parameters or {"table": row.table_name}))
        for row in ROWS
        if row.notebook == "ingest" and row.ends == "DONE"
    ]
    expected = {
        *(ingest.Slice(table=table) for table in ("airlines", "airports", "planes")),
        *(ingest.Slice(table="flights", month=month) for month in MONTHS),
        *(
            ingest.Slice(table="weather", month=month, origin=origin)
            for month in MONTHS
            for origin in ORIGINS
        ),
    }
    assert len(ingested) == len(expected)
    assert set(ingested) == expected
    assert {part.table for part in expected} == set(landing.TABLES)


def test_the_special_rows_are_there() -> None:
    by_name = {row.table_name: row for row in ROWS}
    assert by_name[UNKNOWN_TABLE].ends == "DEAD"
    assert by_name[AWAITED].ends == "CANCELED"
    assert by_name[LATE_TABLE].attempts == ("FAILED", "DONE")
    assert len({row.priority for row in ROWS}) >= 2


def test_every_notebook_is_a_file() -> None:
    folder = Path(ingest.__file__).parent
    assert {row.notebook for row in ROWS} == {"ingest", "wait_for_file"}
    for row in ROWS:
        assert (folder / f"{row.notebook}.py").is_file()


def test_every_failure_names_its_error_and_nothing_else_does() -> None:
    for row in ROWS:
        assert bool(row.error) == bool({"FAILED", "DEAD"} & set(row.attempts)), row
