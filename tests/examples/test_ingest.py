"""The notebook-like files, on the real data."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples import landing
from examples.notebooks import ingest, wait_for_file


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder with everything delivered but the airports."""
    folder = tmp_path_factory.mktemp("landing")
    for table in ("airlines", "flights", "weather"):
        landing.deliver(table, folder)
    return folder


def run(source: Path, lake: Path, *argv: str) -> int:
    return ingest.main([*argv, "--source", str(source), "--lake", str(lake)])


def files(lake: Path) -> list[str]:
    """All files in the lake, hidden ones too."""
    return sorted(str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file())


def test_one_month_of_flights_is_counted(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(source, tmp_path, "--table", "flights", "--month", "2013-02") == 0

    assert capsys.readouterr().out == "flights/2013-02.parquet: 24951 rows\n"
    written = pq.read_table(tmp_path / "flights/2013-02.parquet")
    assert written.num_rows == 24951
    assert set(written["month"].to_pylist()) == {2}
    # Absent values are absent, not the text NA.
    assert written.schema.field("dep_time").type == pa.int64()
    assert written["tailnum"].null_count > 0


def test_slices_of_a_month_add_up_to_the_month(source: Path, tmp_path: Path) -> None:
    for origin in ("EWR", "JFK", "LGA"):
        assert run(source, tmp_path, "--table", "weather", "--month", "2013-06", "--origin", origin) == 0
    assert run(source, tmp_path / "whole", "--table", "weather", "--month", "2013-06") == 0

    parts = [
        pq.read_metadata(tmp_path / f"weather/2013-06-{origin}.parquet").num_rows
        for origin in ("EWR", "JFK", "LGA")
    ]
    assert sum(parts) == pq.read_metadata(tmp_path / "whole/weather/2013-06.parquet").num_rows > 0


def test_a_repeat_replaces_its_own_slice_only(source: Path, tmp_path: Path) -> None:
    assert run(source, tmp_path, "--table", "airlines") == 0
    assert run(source, tmp_path, "--table", "weather", "--month", "2013-01") == 0
    before = pq.read_table(tmp_path / "weather/2013-01.parquet")

    assert run(source, tmp_path, "--table", "weather", "--month", "2013-01") == 0

    assert pq.read_table(tmp_path / "weather/2013-01.parquet").equals(before)
    assert files(tmp_path) == ["airlines/all.parquet", "weather/2013-01.parquet"]


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--table", "crews"], "there is no table 'crews'; the tables are airlines, airports,"),
        (["--table", "airports"], "the source file airports.csv has not been delivered to"),
        (["--table", "airlines", "--month", "2013-01"], "table 'airlines' has no slices by month"),
        (["--table", "flights", "--month", "2013-13"], "--month '2013-13' is not of the form"),
        (["--table", "flights", "--origin", "../x"], "--origin '../x' is not of the form"),
        (["--table", "weather", "--month", "2014-01"], "weather.csv holds no rows of weather/2014-01"),
    ],
)
def test_what_cannot_be_ingested_is_told(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], error: str
) -> None:
    assert run(source, tmp_path, *argv) == 1

    assert error in capsys.readouterr().err
    assert files(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_no_other(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(source, tmp_path, "--table", "airlines") == 0
    before = (tmp_path / "airlines/all.parquet").read_bytes()

    def half_a_file(_table: pa.Table, path: Path) -> None:
        path.write_bytes(b"PAR1")
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", half_a_file)
    with pytest.raises(OSError, match="No space left"):
        run(source, tmp_path, "--table", "airlines")

    assert (tmp_path / "airlines/all.parquet").read_bytes() == before
    assert files(tmp_path) == ["airlines/all.parquet"]


def test_it_runs_as_a_file_of_its_own(source: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ingest.__file__, "--table", "crews", "--source", source, "--lake", tmp_path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("IngestError: there is no table 'crews'")


def test_a_row_without_parameters_names_its_table_and_the_environment_its_folders(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_FOLDER", str(source))
    monkeypatch.setenv("LAKE_FOLDER", str(tmp_path))
    assert ingest.main(["--table_name", "airlines"]) == 0
    assert files(tmp_path) == ["airlines/all.parquet"]


def test_waiting_ends_when_the_file_comes(tmp_path: Path) -> None:
    file = tmp_path / "flights-2014.csv"
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            file.touch()

    assert wait_for_file.wait_for(file, 60, monotonic=lambda: float(len(waited)), sleep=sleep)
    assert len(waited) == 3


def test_waiting_is_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    assert not wait_for_file.wait_for(tmp_path / "never", 2.5, monotonic=lambda: clock[0], sleep=sleep)
    assert clock[0] == pytest.approx(2.5)
    assert wait_for_file.main(["--file", "never", "--source", str(tmp_path), "--timeout", "0"]) == 1
    assert "was not delivered in 0 seconds" in capsys.readouterr().err
