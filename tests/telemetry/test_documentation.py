"""docs/telemetry.md and its queries name exactly what the app logs and measures."""

import logging
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.queue import _encode
from orchestrator.bootstrap import Application
from orchestrator.core.actions import CANCEL
from orchestrator.core.errors import DatabricksError, NoCapacity, RequestRefused
from orchestrator.core.models import NewEntry, Run
from orchestrator.core.telemetry import Metric
from tests.fakes import FakeRuns
from tests.telemetry.conftest import Memory

DOCUMENT = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")

QUERIES = re.findall(r"```kusto\n(.*?)```", DOCUMENT, re.DOTALL)

#: Functions of KQL; its reference lists them: https://learn.microsoft.com/kusto/query/scalar-functions and
#: https://learn.microsoft.com/kusto/query/aggregation-functions
KQL_FUNCTIONS = {
    *("ago", "bin", "iff", "isnotnull", "round", "todouble", "toint", "tolong", "tostring"),
    *("count", "countif", "max", "percentile"),
}

#: The attributes that Python itself gives each record.
_OF_PYTHON = {*vars(logging.makeLogRecord({})), "message", "asctime"}

#: Events of an entry that has no run.
WITHOUT_RUN = {"refused", "postponed"}

#: Fields whose values the app chooses; others hold the team's names and numbers.
_CLOSED_FIELDS = {"event", "status", "function", "outcome"}


@dataclass
class Journal:
    """What an app logged and measured."""

    #: by the kind of event, its fields
    fields: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: by field, its values
    values: dict[str, set[object]] = field(default_factory=lambda: defaultdict(set))
    #: by metric, its labels
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, record: logging.LogRecord) -> None:
        of_event = {name: value for name, value in vars(record).items() if name not in _OF_PYTHON}
        if "event" in of_event:
            self.fields[of_event["event"]] |= of_event.keys()
            for name, value in of_event.items():
                self.values[name].add(value)


async def submit(app: Application, table: str, *errors: DatabricksError) -> int:
    """Add an entry, make a trigger pass and deliver its message. Databricks first sends the errors."""
    queue: Any = app.queue
    databricks: Any = app.runs["default"]
    [entry_id] = await app.operator.add([NewEntry(table_name=table)])
    assert await app.trigger() == []
    databricks.errors = list(errors)
    claims, queue.sent = queue.sent, []
    for claim in claims:
        await app.submit(_encode(claim).encode())
    return entry_id


def timed(databricks: FakeRuns) -> int:
    """Give the newest run its times, and return its id."""
    run_id = max(databricks.runs)
    databricks.runs[run_id] = replace(
        databricks.runs[run_id], queue_seconds=0.5, setup_seconds=1.0, execution_seconds=2.0
    )
    return run_id


async def live(app: Application) -> None:
    """Make every event happen to an entry."""
    databricks: Any = app.runs["default"]
    for table, result in (("sales", "SUCCESS"), ("orders", "FAILED")):
        await submit(app, table)
        run_id = timed(databricks)
        databricks.end(run_id, result)
    running = await submit(app, "stock")
    timed(databricks)
    [waiting] = await app.operator.add([NewEntry(table_name="prices")])
    for entry_id in (running, waiting):
        assert (await app.operator.change_one(CANCEL, entry_id)).cancel_requested
    await app.monitor()  # asks Databricks to cancel
    databricks.runs[run_id] = Run(run_id=run_id, life_cycle_state="RUNNING")  # the failed one is repaired
    await app.monitor()
    await submit(app, "full", NoCapacity("full", status=429, error_code="QUOTA_EXCEEDED"))
    await submit(app, "refused", RequestRefused("no such job", status=400, error_code="X", permanent=True))
    await app.store.pool.close()
    with pytest.raises(Exception, match="shutdown"):
        await app.monitor()


@pytest.fixture
async def journal(app: Application, memory: Memory, caplog: pytest.LogCaptureFixture) -> Journal:
    caplog.set_level(logging.INFO, logger="orchestrator")
    await live(app)
    journal = Journal()
    for record in caplog.records:
        journal.add(record)
    for name, points in memory.metrics().items():
        journal.labels[name] |= {label for point in points for label in point.attributes}
    return journal


def cells(name: str) -> list[list[str]]:
    """Return the cells, row by row, of the table whose first column has this name."""
    [table] = re.findall(rf"^\| `?{name}`? \|.*\n\|[-|]+\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def names(cell: str) -> set[str]:
    """Return what is set as code in a cell, apart from what is in brackets."""
    return set(re.findall(r"`([\w.]+)`", re.sub(r"\(.*?\)", "", cell)))


def test_table_of_events(journal: Journal) -> None:
    [head] = re.findall(r"^\| `event` \| when \| fields beside (.*) \|$", DOCUMENT, re.MULTILINE)
    documented: dict[str, set[str]] = {}
    of_line_before: set[str] = set()
    for name, _, listed in cells("event"):
        of_line = names(listed) | (of_line_before if listed.startswith("the same") else set())
        documented[name.strip("`")] = of_line | (set() if listed.startswith("only") else names(head))
        of_line_before = of_line
    assert documented.keys() == journal.fields.keys()
    for event, fields in documented.items():
        left_out = {"event", "run_id"} if event in WITHOUT_RUN else {"event"}
        assert journal.fields[event] - {"event"} == fields - left_out, event


def test_table_of_metrics(journal: Journal) -> None:
    documented = {next(iter(names(name))): names(labels) for name, _, labels in cells("metric")}
    assert documented == journal.labels
    assert documented.keys() == {metric.value.name for metric in Metric}


@pytest.mark.parametrize("query", [query for query in QUERIES if query.startswith("traces\n")])
def test_query_of_log_lines(query: str, journal: Journal) -> None:
    compared: dict[str, set[str]] = defaultdict(set)
    for name, one, several in re.findall(r'customDimensions\.(\w+) (?:[!=]= ("\w+")|in \((.*?)\))', query):
        compared[name] |= set(re.findall(r'"(\w+)"', one + several))
    events = compared["event"] or journal.fields.keys()
    logged = set().union(*(journal.fields[event] for event in events))
    assert set(re.findall(r"customDimensions\.(\w+)", query)) <= logged
    for name in compared.keys() & _CLOSED_FIELDS:
        assert compared[name] <= journal.values[name], name


@pytest.mark.parametrize("query", [query for query in QUERIES if query.startswith("customMetrics\n")])
def test_query_of_metrics(query: str, journal: Journal) -> None:
    [name] = re.findall(r'name == "([\w.]+)"', query)
    assert set(re.findall(r"customDimensions\.(\w+)", query)) <= journal.labels[name]


def test_every_query_is_looked_at() -> None:
    assert len(QUERIES) == 6
    assert {query.split("\n")[0] for query in QUERIES} == {"traces", "customMetrics"}


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_asks_of_one_app(query: str) -> None:
    assert query.splitlines()[1].startswith('| where cloud_RoleName == "APP" and ')


@pytest.mark.parametrize("query", QUERIES)
def test_functions_of_queries(query: str) -> None:
    assert set(re.findall(r"\b(\w+)\(", query)) <= KQL_FUNCTIONS


def test_alert_rule_and_its_command_ask_the_same() -> None:
    [command] = re.findall(r"--condition-query passes='(.*?)'", DOCUMENT)
    assert command == " ".join(QUERIES[-1].split())
