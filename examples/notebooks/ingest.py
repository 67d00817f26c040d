"""Ingest one table, or one month of it, from the landing folder into the Parquet lake.

The parameters are what a Databricks notebook would take as widgets. A repeat replaces its own slice and
nothing else, so the same row may be run again at any time. A row without parameters gives ``--table_name``.
"""

import argparse
import os
import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

#: The tables that may be ingested, and the columns that select a slice of each.
TABLES: dict[str, frozenset[str]] = {
    "airlines": frozenset(),
    "airports": frozenset(),
    "flights": frozenset({"month", "origin"}),
    "planes": frozenset(),
    "weather": frozenset({"month", "origin"}),
}

#: A file name is made of these values, so they may hold nothing that leads out of the lake.
MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
ORIGIN = re.compile(r"[A-Z]{3}")


class IngestError(Exception):
    """The slice cannot be ingested; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What is ingested at once."""

    table: str
    #: ``YYYY-MM``, None = all months
    month: str | None = None
    #: IATA code of the airport of departure, None = all
    origin: str | None = None

    def __post_init__(self) -> None:
        """Check the values. :raises IngestError: one is not usable."""
        if self.table not in TABLES:
            raise IngestError(f"there is no table '{self.table}'; the tables are {', '.join(sorted(TABLES))}")
        for name, value, form in (("month", self.month, MONTH), ("origin", self.origin, ORIGIN)):
            if value is None:
                continue
            if name not in TABLES[self.table]:
                raise IngestError(f"table '{self.table}' has no slices by {name}; leave --{name} out")
            if not form.fullmatch(value):
                raise IngestError(f"--{name} '{value}' is not of the form {form.pattern}")

    @property
    def file(self) -> Path:
        """The slice's own file, relative to the lake."""
        name = "-".join(part for part in (self.month, self.origin) if part) or "all"
        return Path(self.table) / f"{name}.parquet"


def read(part: Slice, source: Path) -> pa.Table:
    """Read a slice from the landing folder.

    :raises IngestError: the file is not there or holds no such rows.
    """
    file = source / f"{part.table}.csv"
    if not file.is_file():
        raise IngestError(f"the source file {file.name} has not been delivered to {source} yet")
    table = pyarrow.csv.read_csv(
        file, convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=["NA"])
    )
    if part.month is not None:
        year, month = (int(number) for number in part.month.split("-"))
        table = table.filter((pc.field("year") == year) & (pc.field("month") == month))
    if part.origin is not None:
        table = table.filter(pc.field("origin") == part.origin)
    if not table.num_rows:
        raise IngestError(f"{file.name} holds no rows of {part.file.with_suffix('')}")
    return table


def write(table: pa.Table, file: Path) -> None:
    """Write a Parquet file whole or not at all: readers see the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Readers of a lake skip files whose name begins with a dot.
    temporary = file.with_name(f".{file.stem}-{uuid.uuid4().hex}.tmp")
    try:
        pq.write_table(table, temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def ingest(part: Slice, source: Path, lake: Path) -> int:
    """Copy a slice from the landing folder into the lake and return its number of rows."""
    table = read(part, source)
    write(table, lake / part.file)
    return int(table.num_rows)


def add_folder(parser: argparse.ArgumentParser, flag: str, variable: str, purpose: str) -> None:
    """Add a folder that the environment may name, as a cluster's variables do."""
    named = os.environ.get(variable)
    parser.add_argument(
        flag, type=Path, default=named, required=not named, help=f"{purpose}; else the variable {variable}"
    )


def main(argv: Sequence[str]) -> int:
    """Read the parameters, ingest, and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", "--table_name", required=True, help="the table to ingest")
    parser.add_argument("--month", help="only this month, YYYY-MM")
    parser.add_argument("--origin", help="only departures from this airport, such as EWR")
    add_folder(parser, "--source", "LANDING_FOLDER", "the landing folder, which holds TABLE.csv")
    add_folder(parser, "--lake", "LAKE_FOLDER", "the folder of the lake")
    given = parser.parse_args(argv)
    try:
        part = Slice(table=given.table, month=given.month, origin=given.origin)
        rows = ingest(part, given.source, given.lake)
    except IngestError as error:
        print(f"IngestError: {error}", file=sys.stderr)
        return 1
    print(f"{part.file}: {rows} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
