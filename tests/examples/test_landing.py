"""The sender of the example's data."""

import zipfile
from pathlib import Path

import pytest

from examples import landing


@pytest.mark.parametrize("table", landing.TABLES)
def test_a_table_is_delivered_whole(table: str, tmp_path: Path) -> None:
    delivered = landing.deliver(table, tmp_path / "landing")

    package = landing.source_folder()
    if table == "flights":
        with zipfile.ZipFile(package / "flights.csv.zip") as archive:
            assert delivered.stat().st_size == archive.getinfo("flights.csv").file_size
    else:
        assert delivered.read_bytes() == (package / f"{table}.csv").read_bytes()
    assert [path.name for path in delivered.parent.iterdir()] == [f"{table}.csv"]
