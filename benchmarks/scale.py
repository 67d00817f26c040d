"""Scale: many workspaces, many live runs and a million entries a day, in simulated time"""

import asyncio
import math
import random
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.simulated import clock
from benchmarks.simulated.app import JOBS, App
from benchmarks.simulated.counts import Counts, counted_log
from benchmarks.simulated.databricks import PAGE, RATES, Workspace
from benchmarks.simulated.http_cost import http_seconds
from benchmarks.simulated.running import fill
from benchmarks.tables import Table
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector

#: What an answer of Databricks, and a statement of the database, takes.
ANSWER_SECONDS = 0.1
ROUND_TRIP_SECONDS = 0.002

#: Most instances of submit in the slices of a day: what the template sets.
INSTANCES = 5

#: Of a run, in the slices of a day.
RUN_SECONDS = 600.0

DAY = 86_400

#: The day of docs/scale.md, and the part of it that comes in its busiest hour.
ENTRIES_A_DAY = 1_000_000
WORKSPACES = 50
SLOTS = 2_000
BUSIEST_HOUR = 0.25

_CLAIM = "wait for databricks-job-orchestrator/claim"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a day: what was asked of the services in it, and how much for each entry."""

    workspaces: int
    entries_a_day: float
    seconds: float
    counts: Counts
    #: that were submitted
    entries: int
    #: seconds of the passes of trigger
    passes: list[float]

    def each(self, what: str, function: str | None = None) -> float:
        """Return how often something was done for each entry."""
        return self.counts.total(what, function) / self.entries

    def a_second(self, what: str) -> float:
        """Return how often something was done in a second."""
        return self.counts.total(what) / self.seconds


def tables(*, full: bool) -> Iterable[Table]:
    """Simulate passes, a slice of the day and a burst, and say where each limit stands."""
    call_seconds = http_seconds(300 if full else 60)
    yield passes(_WIDE if full else _NARROW, call_seconds)
    yield slow_cores([(4, 1000)] if full else [(2, 500)])
    slices = [a_slice(*size, call_seconds) for size in (_DAYS if full else _SMALL_DAYS)]
    yield days(slices)
    yield bursts((1, SLOTS) if full else (2, 200), call_seconds)
    yield limits(*slices[-2:])


#: Workspaces, and live runs in each.
_NARROW = [(1, 130), (1, SLOTS), (4, 1000)]
_WIDE = [(1, 130), (1, SLOTS), (10, SLOTS), (50, SLOTS), (100, SLOTS)]

#: Workspaces, entries a day and seconds; the last two are the average and the busiest hour of a day.
_SMALL_DAYS = [(10, 100_000, 300.0), (10, 600_000, 120.0)]
_DAYS = [(10, 100_000, 300.0), (50, 1_000_000, 300.0), (50, 6_000_000, 120.0)]


@contextmanager
def _app(workspaces: int, *, cap: int, call_seconds: float, most_instances: int = INSTANCES) -> Iterator[App]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        migrate.apply(SqliteConnector(file, create=True))
        counts, chance = Counts(), random.Random(1)  # noqa: S311 - repeatable on purpose
        with counted_log(counts):
            yield App(
                file,
                counts,
                {
                    f"w{number:03}": Workspace(
                        counts,
                        answer_seconds=ANSWER_SECONDS,
                        run_seconds=lambda: chance.uniform(0.5, 1.5) * RUN_SECONDS,
                        http_seconds=call_seconds,
                    )
                    for number in range(workspaces)
                },
                cap=cap,
                round_trip_seconds=ROUND_TRIP_SECONDS,
                most_instances=most_instances,
            )


def passes(sizes: Iterable[tuple[int, int]], call_seconds: float) -> Table:
    """Return how long a pass takes over live runs of several workspaces."""
    rows = [
        [f"{workspaces:,}", f"{runs:,}", *_pass(workspaces, runs, call_seconds)] for workspaces, runs in sizes
    ]
    return Table(
        title="A pass of trigger over live runs, nothing of which has ended",
        columns=[
            "workspaces",
            "runs in each",
            "seconds",
            "seconds of one core",
            "calls of runs/list",
            "most a second",
            "transactions",
            "longest wait for the claims' lock, ms",
        ],
        rows=rows,
        notes=[
            f"answers take {1000 * ANSWER_SECONDS:.0f} ms, statements {1000 * ROUND_TRIP_SECONDS:.0f} ms",
            f"a call costs {1000 * call_seconds:.2f} ms of a core besides reading its answer, measured here",
            "seconds of one core are this machine's, and SQLite's work is in them",
        ],
    )


def _pass(workspaces: int, runs: int, call_seconds: float) -> list[str]:
    with _app(workspaces, cap=runs, call_seconds=call_seconds) as app:
        seconds, of_the_core = clock.run(_measured_pass(app, runs))
    return [
        f"{seconds:.1f}",
        f"{of_the_core:.1f}",
        f"{app.counts.total('calls runs/list'):,}",
        f"{app.counts.peaks['calls runs/list']:,}",
        f"{app.counts.total('transactions'):,}",
        f"{app.counts.peaks[_CLAIM]:,}",
    ]


async def _measured_pass(app: App, runs: int) -> tuple[float, float]:
    """Return the seconds of a pass, and those of the core; its counts are the app's."""
    for workspace in app.workspaces.values():
        workspace.run_seconds = lambda: math.inf
    await fill(app, runs)
    await app.make_pass("trigger")  # the first one looks jobs up
    app.counts.of.clear()
    app.counts.peaks.clear()
    before = clock.processor_seconds()
    seconds = await app.make_pass("trigger")
    return seconds, clock.processor_seconds() - before


def slow_cores(sizes: Iterable[tuple[int, int]]) -> Table:
    """Return what becomes of a pass whose core takes longer for the lists than a pass waits for one."""
    found = [(size, seconds, _slow_pass(*size, seconds)) for size in sizes for seconds in _slow(*size)]
    return Table(
        title="A pass of trigger on a core that is slow at its calls",
        columns=["runs", "a call takes the core, ms", "all pages, s", "the pass, s", "runs/list", "runs/get"],
        rows=[
            [f"{size[0]} × {size[1]:,}", f"{1000 * seconds:.0f}", f"{seconds * _pages(*size):.0f}", *cells]  # noqa: RUF001
            for size, seconds, cells in found
        ],
        notes=["after 30 s without the whole list, runs are looked up one by one"],
    )


def _pages(workspaces: int, runs: int) -> int:
    return workspaces * math.ceil(runs / PAGE)


def _slow(workspaces: int, runs: int) -> list[float]:
    """Return what a call takes, so that all pages take 20 and 45 seconds."""
    return [seconds / _pages(workspaces, runs) for seconds in (20, 45)]


def _slow_pass(workspaces: int, runs: int, call_seconds: float) -> list[str]:
    with _app(workspaces, cap=runs, call_seconds=call_seconds) as app:
        seconds, _ = clock.run(_measured_pass(app, runs))
    calls = (f"{app.counts.total(f'calls {name}'):,}" for name in ("runs/list", "runs/get"))
    return [f"{seconds:.0f}", *calls]


def a_slice(workspaces: int, entries_a_day: float, seconds: float, call_seconds: float) -> Slice:
    """Let a part of a day pass, in which as many entries end as begin."""
    with _app(workspaces, cap=SLOTS, call_seconds=call_seconds) as app:
        return clock.run(_day(app, entries_a_day, seconds))


async def _day(app: App, entries_a_day: float, seconds: float) -> Slice:
    live = round(entries_a_day / DAY * RUN_SECONDS / len(app.workspaces))
    spread = random.Random(2)  # noqa: S311 - repeatable on purpose
    for workspace in app.workspaces.values():
        workspace.run_seconds = lambda: spread.uniform(0, RUN_SECONDS)
    await fill(app, max(1, live))
    for workspace in app.workspaces.values():
        workspace.run_seconds = lambda: RUN_SECONDS
    app.counts.of.clear()
    app.counts.peaks.clear()
    began = app.clock.monotonic()
    until = began + seconds
    trigger, *_ = await asyncio.gather(
        app.keep_time("trigger", every=60, first=began, until=until),
        app.keep_time("monitor", every=60, first=began + 30, until=until),
        app.deliver(until=until + 20),
        _insert(app, entries_a_day / DAY, until),
    )
    submitted = app.counts.total("executions", "submit")
    return Slice(
        workspaces=len(app.workspaces),
        entries_a_day=entries_a_day,
        seconds=app.clock.monotonic() - began,
        counts=app.counts,
        entries=submitted,
        passes=trigger,
    )


async def _insert(app: App, a_second: float, until: float) -> None:
    """Insert entries, as others do with SQL; that costs the app nothing."""
    names, number, due = list(app.workspaces), 0, 0.0
    while app.clock.monotonic() < until:
        await asyncio.sleep(1)
        due += a_second
        with clock.for_free(), closing(sqlite3.connect(app.file)) as database, database:
            _insert_rows(database, [(place, names[place % len(names)]) for place in range(number, int(due))])
        number = int(due)


def _insert_rows(database: sqlite3.Connection, rows: Iterable[tuple[int, str]]) -> None:
    """Insert entries of tables of their own, by a number and their workspace."""
    database.executemany(
        "INSERT INTO track_processing (table_name, workspace, job_id) VALUES (?, ?, ?)",
        [(f"new {number}", name, JOBS[number % len(JOBS)]) for number, name in rows],
    )


def days(slices: Iterable[Slice]) -> Table:
    """Return what each entry asked for, and what that is in a second."""
    return Table(
        title=f"Slices of a day, runs of {RUN_SECONDS / 60:.0f} minutes, a pass of each timer a minute",
        columns=[
            "entries a day",
            "workspaces",
            "transactions of an entry",
            "run-now",
            "runs/get",
            "messages",
            "transactions a second",
            "most a second",
            "most connections at once",
            "instances of submit",
            "refused of run-now",
            "longest pass, s",
        ],
        rows=[
            [
                f"{each.entries_a_day:,}",
                f"{each.workspaces}",
                f"{each.each('transactions'):.1f}",
                f"{each.each('calls run-now'):.2f}",
                f"{each.each('calls runs/get'):.2f}",
                f"{each.each('messages'):.2f}",
                f"{each.a_second('transactions'):.1f}",
                f"{each.counts.peaks['transactions']:,}",
                f"{each.counts.peaks['connections']}",
                f"{each.counts.peaks['instances']}",
                f"{each.counts.total('refused run-now') / each.counts.total('calls run-now'):.1%}",
                f"{max(each.passes):.1f}",
            ]
            for each in slices
        ],
        notes=[
            "transactions of an entry: those of all passes and submissions, divided by the entries submitted",
            "all instances share one core here; in Azure each has its own",
        ],
    )


def bursts(size: tuple[int, int], call_seconds: float) -> Table:
    """Return how a burst goes that fills every slot at once, by the most instances."""
    workspaces, slots = size
    return Table(
        title=f"A burst: {workspaces * slots:,} entries for as many empty slots, {slots:,} in a workspace",
        columns=[
            "most instances",
            "seconds to the last run",
            "of the best",
            "refused of run-now",
            "connections",
        ],
        rows=[[f"{most}", *_burst(workspaces, slots, most, call_seconds)] for most in (5, 20, 100)],
        notes=[
            f"the best: {slots / RATES['run-now']:.0f} s from the pass that claims, as a workspace takes "
            f"{RATES['run-now']} run-now a second",
        ],
    )


def _burst(workspaces: int, slots: int, most_instances: int, call_seconds: float) -> list[str]:
    with _app(workspaces, cap=slots, call_seconds=call_seconds, most_instances=most_instances) as app:
        return clock.run(_measured_burst(app, slots))


async def _measured_burst(app: App, slots: int) -> list[str]:
    rows = [(place, name) for name in app.workspaces for place in range(slots)]
    with clock.for_free(), closing(sqlite3.connect(app.file)) as database, database:
        _insert_rows(database, rows)
    for workspace in app.workspaces.values():
        workspace.run_seconds = lambda: math.inf
    began, best = app.clock.monotonic(), slots / RATES["run-now"]
    until = began + 10 * best + 1200
    all_run = asyncio.create_task(_all_run(app, slots, until))
    work = [
        asyncio.create_task(each)
        for each in (
            app.keep_time("trigger", every=60, first=began, until=until),
            app.keep_time("monitor", every=60, first=began + 30, until=until),
            app.deliver(until=until),
        )
    ]
    seconds = await all_run - began
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    calls, refused = (app.counts.total(what) for what in ("calls run-now", "refused run-now"))
    return [
        f"{seconds:.0f}",
        f"{seconds / best:.2f} ×",  # noqa: RUF001 - a product
        f"{refused / calls:.0%}",
        f"{app.counts.peaks['connections']}",
    ]


async def _all_run(app: App, slots: int, until: float) -> float:
    """Wait until every slot is taken, and return when that was."""
    while app.clock.monotonic() < until:
        if all(len(workspace.ends) >= slots for workspace in app.workspaces.values()):
            return app.clock.monotonic()
        await asyncio.sleep(0.5)
    return math.inf


def limits(average: Slice, busiest: Slice) -> Table:
    """Return where the published limits stand on average and in the busiest hour.

    :param average: entries by day, whose figures are scaled to the day of docs/scale.md.
    :param busiest: the same for its busiest hour.
    """
    hours = (average, ENTRIES_A_DAY / DAY), (busiest, ENTRIES_A_DAY * BUSIEST_HOUR / 3600)
    pages = math.ceil(SLOTS / PAGE)

    def rates(what: str, times: float = 1) -> list[float]:
        return [times * each.each(what) * rate for each, rate in hours]

    of_queue = rates("messages", 3)
    rows: list[tuple[str, int, Sequence[float]]] = [
        ("a workspace: runs created in an hour", 10_000, rates("messages", 3600 / WORKSPACES)),
        ("a workspace: task runs at once", 2_000, [SLOTS, SLOTS]),
        ("a workspace: run-now a second", RATES["run-now"], rates("calls run-now", 1 / WORKSPACES)),
        ("a workspace: runs/get a second", RATES["runs/get"], rates("calls runs/get", 1 / WORKSPACES)),
        ("a workspace: runs/list a second", RATES["runs/list"], [2 * pages / 60, 2 / ANSWER_SECONDS]),
        ("a queue: operations for messages a second", 2_000, of_queue),
        ("a storage account: requests a second", 20_000, of_queue),
    ]
    shown = [
        [name, f"{limit:,}", *(f"{use:,.1f}" for use in used), f"{used[-1] / limit:.0%}"]
        for name, limit, used in rows
    ]
    transactions = (f"{rate:,.0f}" for rate in rates("transactions"))
    return Table(
        title=f"{ENTRIES_A_DAY:,} entries a day in {WORKSPACES} workspaces of {SLOTS:,} slots",
        columns=[
            "limit",
            "published",
            "on average",
            f"in an hour with {BUSIEST_HOUR:.0%} of the day",
            "of the limit",
        ],
        rows=[*shown, ["the database: transactions a second", "none", *transactions, ""]],
        notes=[
            f"what an entry asked for in slices of {average.entries_a_day:,} and {busiest.entries_a_day:,} "
            f"a day in {average.workspaces} workspaces, times the entries",
            "runs/list: for all slots taken; in the busiest hour both timers list at once, page after page",
            "three operations of the queue a message: put, get, delete",
        ],
    )
