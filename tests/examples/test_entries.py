"""The example's entries."""

from pathlib import Path

from examples import landing
from examples.entries import AWAITED, ENTRIES, LATE_TABLE, MONTHS, ORIGINS, UNKNOWN_TABLE
from examples.notebooks import ingest


def test_there_are_enough_and_no_two_are_the_same() -> None:
    assert len(ENTRIES) >= 40
    assert len({entry.table_name for entry in ENTRIES}) == len(ENTRIES)


def test_every_slice_of_every_table_is_ingested_once() -> None:
    ingested = [
        ingest.Slice(**(entry.parameters or {"table": entry.table_name}))
        for entry in ENTRIES
        if entry.notebook == "ingest" and entry.ends == "DONE"
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
    by_name = {entry.table_name: entry for entry in ENTRIES}
    assert by_name[UNKNOWN_TABLE].ends == "DEAD"
    assert by_name[AWAITED].ends == "CANCELED"
    assert by_name[LATE_TABLE].attempts == ("FAILED", "DONE")
    assert len({entry.priority for entry in ENTRIES}) >= 2


def test_every_notebook_is_a_file() -> None:
    folder = Path(ingest.__file__).parent
    assert {entry.notebook for entry in ENTRIES} == {"ingest", "wait_for_file"}
    for entry in ENTRIES:
        assert (folder / f"{entry.notebook}.py").is_file()


def test_every_failure_names_its_error_and_nothing_else_does() -> None:
    for entry in ENTRIES:
        assert bool(entry.error) == bool({"FAILED", "DEAD"} & set(entry.attempts)), entry
