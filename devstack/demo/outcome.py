"""Whether the demo ended as expected, and how that is told."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devstack.demo.state import Ended, Entry, counts
from examples import landing
from examples.rows import LATE_TABLE, Row


@dataclass(frozen=True, kw_only=True)
class Count:
    """The rows of one table that are in the lake, and those that its sender has."""

    table: str
    lake: int
    source: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that was seen at the end."""

    rows: Sequence[Row]
    entries: Sequence[Entry]
    log: Sequence[Ended]
    #: every run that Databricks knows
    run_ids: Collection[int]
    counted: Sequence[Count]

    def log_of(self, table_name: str) -> list[Ended]:
        """The log rows of the entry with a table name, first attempt first."""
        ids = {entry.id for entry in self.entries if entry.table_name == table_name}
        return [ended for ended in self.log if ended.entry_id in ids]


def count_tables(lake: Path, source: Path) -> list[Count]:
    """Count every table in the lake's Parquet files and in the landing folder's CSV files."""
    return [
        Count(table=table, lake=_rows(lake / table, "parquet"), source=_rows(source / f"{table}.csv", "csv"))
        for table in landing.TABLES
    ]


def _rows(path: Path, form: str) -> int:
    return ds.dataset(path, format=form).count_rows() if path.exists() else 0


def differences(outcome: Outcome) -> list[str]:
    """What is not as expected, in words; empty when all is well."""
    return [
        *_wrong_states(outcome),
        *_wrong_attempts(outcome),
        *_wrong_log(outcome),
        *(
            f"{count.table}: the lake has {count.lake} rows, the source {count.source}"
            for count in outcome.counted
            if count.lake != count.source or not count.source
        ),
    ]


def _wrong_states(outcome: Outcome) -> Iterator[str]:
    status = {entry.table_name: entry.status for entry in outcome.entries}
    for row in outcome.rows:
        found = status.get(row.table_name, "not in the table")
        if found != row.ends:
            yield f"{row.table_name}: {found}, expected {row.ends}"


def _wrong_attempts(outcome: Outcome) -> Iterator[str]:
    late = [ended.status for ended in outcome.log_of(LATE_TABLE)]
    if len(late) < 2 or set(late[:-1]) != {"FAILED"}:
        yield f"{LATE_TABLE}: attempts ended {late}, expected FAILED before the last"
    for row in outcome.rows:
        log = outcome.log_of(row.table_name)
        if row.ends == "DEAD" and not any(ended.error_trace or ended.message for ended in log):
            yield f"{row.table_name}: its error is not in process_log"


def _wrong_log(outcome: Outcome) -> Iterator[str]:
    logged = Counter(ended.runid for ended in outcome.log)
    for run in sorted(outcome.run_ids):
        if logged.get(run, 0) != 1:
            yield f"run {run} has {logged.get(run, 0)} rows in process_log, expected 1"
    for unknown in logged.keys() - set(outcome.run_ids):
        yield f"process_log has run {unknown}, which Databricks does not know"


def show(outcome: Outcome, console: Console) -> None:
    """Print the outcome."""
    states = Table("state", "rows", title="Rows by state", title_justify="left")
    for state, count in counts(outcome.entries).items():
        states.add_row(state, str(count))
    console.print(states)
    for row in outcome.rows:
        if row.ends != "DONE" or row.table_name == LATE_TABLE:
            _show_attempts(row.table_name, outcome.log_of(row.table_name), console)
    console.print("Rows in the lake, counted in its files, of those in the source:", highlight=False)
    for counted in outcome.counted:
        console.print(f"  {counted.table:10}{counted.lake:>8,} of {counted.source:>8,} rows", highlight=False)
    console.print(
        f"{len(outcome.run_ids)} runs in Databricks, {len(outcome.log)} rows in process_log.", highlight=False
    )


def _show_attempts(table_name: str, log: Sequence[Ended], console: Console) -> None:
    console.print(f"{escape(table_name)}:", highlight=False)
    for ended in log:
        error = (ended.error_trace or ended.message or "").strip()
        line = f"  attempt {ended.attempt}, run {ended.runid}: {ended.status}  {error}".rstrip()
        console.print(escape(line), highlight=False, soft_wrap=True)
