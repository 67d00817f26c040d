"""Cost: what passes and entries ask of the database, Databricks, the queue and the logs; what that costs."""

import asyncio
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from benchmarks.simulated import clock
from benchmarks.simulated.app import App
from benchmarks.simulated.counts import Counts, counted_log
from benchmarks.simulated.databricks import Workspace
from benchmarks.tables import Table
from examples.cost import model
from examples.cost.__main__ import FILE as PRICES
from examples.cost.tables import all_tables
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector

#: What is counted, by its name in examples/cost/cost.toml.
KINDS = ("transactions", "statements", "calls", "messages", "log_lines", "spans")

#: Entries whose cost is divided by their number.
ENTRIES = 100

#: A run takes less than the pause before the pass that finds it over.
_RUN_SECONDS = 60.0

Use = dict[str, dict[str, float]]


def tables(*, full: bool) -> Iterable[Table | str]:
    """Count, and price what docs/cost.md compares, as that page has it. The large size is the same."""
    del full
    use = measured()
    yield Table(
        title="What passes and entries ask for",
        columns=["", *(kind.replace("_", " ") for kind in KINDS)],
        rows=[[name, *(f"{counts[kind]:.2f}" for kind in KINDS)] for name, counts in use.items()],
        notes=[
            "a whole pass: no entry waits or runs, one workspace has no run, and the pass is the first of "
            "five minutes; an idle pass is any other of these",
            f"an entry: the passes that claim and end {ENTRIES} of them, without a whole pass of each timer, "
            f"and their submissions, divided by {ENTRIES}",
            "statements: as SQL Server is sent them; each transaction has a commit besides",
        ],
    )
    yield from all_tables(model.read(tomllib.loads(PRICES.read_text(encoding="utf-8"))))


def measured(entries: int = ENTRIES) -> Use:
    """Return how often each thing is done in passes with nothing to do, and for an entry."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        migrate.apply(SqliteConnector(file, create=True))
        return clock.run(_measure(file, entries))


async def _measure(file: Path, entries: int) -> Use:
    counts = Counts()
    workspace = Workspace(counts, answer_seconds=0.1, run_seconds=lambda: _RUN_SECONDS, rates={})
    app = App(file, counts, {"default": workspace}, cap=entries, round_trip_seconds=0.002)
    with counted_log(counts):
        whole = {name: await _counted(app, name) for name in ("trigger", "monitor")}
        idle = await _counted(app, "trigger")
        await app.add("default", *(f"table {number}" for number in range(entries)))
        counts.of.clear()
        await app.make_pass("trigger")
        await app.deliver(until=app.clock.monotonic() + 10)
        await asyncio.sleep(_RUN_SECONDS)
        await app.make_pass("monitor")
    busy = _numbers(counts)
    each = {kind: (busy[kind] - sum(one[kind] for one in whole.values())) / entries for kind in KINDS}
    passes = {f"whole_{name}_pass": one for name, one in whole.items()}
    return {**passes, "idle_pass": idle, "entry": each}


async def _counted(app: App, name: str) -> dict[str, float]:
    app.counts.of.clear()
    await app.make_pass(name)
    return _numbers(app.counts)


def _numbers(counts: Counts) -> dict[str, float]:
    calls = sum(number for (_, what), number in counts.of.items() if what.startswith("calls "))
    return {kind: calls if kind == "calls" else counts.total(kind.replace("_", " ")) for kind in KINDS}
