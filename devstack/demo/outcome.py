"""Whether the demo ended as expected, and how that is told."""

import http.client
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pyarrow.dataset as ds
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devstack.demo.state import Ended, Entry, counts
from examples import landing
from examples.entries import ExampleEntry

#: The most that every published reading of ``runs/list`` allows.
RUNS_PAGE = 24

#: The demo has some sixty runs; a server that never stops paging must not hold it.
MAX_RUNS_PAGES = 100

DATABRICKS_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Count:
    """The rows of one table that are in the lake, and those that its sender has."""

    table: str
    lake: int
    source: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that was seen at the end."""

    expected: Sequence[ExampleEntry]
    entries: Sequence[Entry]
    log: Sequence[Ended]
    #: every run that Databricks knows, but for those of entries that others have added
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


def run_ids(url: str, token: str) -> list[int]:
    """The ids of all runs that Databricks itself knows, active and over, newest first.

    :raises OSError: the server does not answer as it should.
    """
    found: list[int] = []
    query: dict[str, str | int] = {"limit": RUNS_PAGE}
    for _ in range(MAX_RUNS_PAGES):
        page = _get(url, token, f"/api/2.2/jobs/runs/list?{urlencode(query)}")
        found += [run["run_id"] for run in page.get("runs", [])]
        if not page.get("has_more"):
            return found
        query["page_token"] = page["next_page_token"]
    raise OSError(f"{url} lists more than {MAX_RUNS_PAGES} pages of runs")


def _get(url: str, token: str, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=DATABRICKS_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"GET {url}{path}: {answer.status} {answer.reason}")
        page: dict[str, Any] = json.loads(body)
        return page
    finally:
        connection.close()


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
    for entry in outcome.expected:
        found = status.pop(entry.table_name, "not in the table")
        if found != entry.ends:
            yield f"{entry.table_name}: {found}, expected {entry.ends}"
    yield from (f"{name}: not one of the demo's entries" for name in status)


def _wrong_attempts(outcome: Outcome) -> Iterator[str]:
    for entry in outcome.expected:
        log = outcome.log_of(entry.table_name)
        found = [(ended.attempt, ended.status) for ended in log]
        if found != list(enumerate(entry.attempts, start=1)):
            ends = ", ".join(f"{number} {status}" for number, status in found) or "none"
            yield f"{entry.table_name}: attempts {ends}; expected in this order: {', '.join(entry.attempts)}"
        for ended in log:
            if ended.status in {"FAILED", "DEAD"} and entry.error not in (ended.error_trace or ""):
                problem = f"process_log lacks the error of attempt {ended.attempt}: {entry.error}"
                yield f"{entry.table_name}: {problem}"


def _wrong_log(outcome: Outcome) -> Iterator[str]:
    logged = Counter(ended.runid for ended in outcome.log)
    for run in sorted(outcome.run_ids):
        if logged.get(run, 0) != 1:
            yield f"run {run} has {logged.get(run, 0)} rows in process_log, expected 1"
    for unknown in logged.keys() - set(outcome.run_ids):
        yield f"process_log has run {unknown}, which Databricks does not know"


def show(outcome: Outcome, console: Console) -> None:
    """Print the outcome."""
    states = Table("state", "entries", title="Entries by state", title_justify="left")
    for state, count in counts(outcome.entries).items():
        states.add_row(state, str(count))
    console.print(states)
    for entry in outcome.expected:
        if entry.attempts != ("DONE",):
            _show_attempts(entry.table_name, outcome.log_of(entry.table_name), console)
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
