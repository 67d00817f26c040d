"""A day's load in simulated time: which run began and ended when, by the app's own decisions."""

import asyncio
import math
import random
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yarl import URL

from benchmarks.simulated import clock
from benchmarks.simulated.app import AT_ONCE, App
from benchmarks.simulated.counts import Counts, counted_log, function
from benchmarks.simulated.databricks import Workspace
from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.usecases.refill import Refill
from orchestrator.usecases.run_ended import RunEnded
from orchestrator.usecases.trigger import Trigger

#: What a notification takes from the end of its run to the app. Nobody promises a time.
NOTIFIED_AFTER_SECONDS = 3.0

#: How long a run takes at least and at most.
_SHORTEST, _LONGEST = 20.0, 3600.0

#: How far lengths of runs are apart: the standard deviation of their logarithm.
_SIGMA = 0.7

#: What the tokens of runs of others begin with.
_OTHER = "other "

#: Entries of one insert.
_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a day brings."""

    entries: int
    #: source tables that entries name at random; a table has one run at a time
    source_tables: int
    cap: int
    #: how many runs of others are alive on average
    foreign: int
    #: the median of a run's length, in seconds; one in six takes more than twice as long, or less than half
    run_seconds: float = 240.0
    #: the waves in which entries come; half of the entries come in the first
    waves: int = 5
    wave_seconds: float = 900.0
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the app hears that a run is over, and when it claims."""

    name: str
    #: the schedules, in seconds
    trigger: float = 60.0
    monitor: float = 60.0
    #: whether a monitor pass claims for the slots that it has freed
    monitor_claims: bool = True
    notified: bool = False
    #: whether entries come over the HTTP API, which starts a claim, and not by SQL
    over_http: bool = False


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A run of an entry; its times are seconds since the first entry came."""

    source_table: str
    inserted: float
    began: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Day:
    """What has happened."""

    cap: int
    ours: list[Ours]
    #: when the runs of others began and ended
    foreign: list[tuple[float, float]]
    #: calls of Databricks, and transactions of the database
    calls: int
    transactions: int


@dataclass
class _Watched(Workspace):
    """A workspace that notes when each run begins."""

    #: when each run of ours began, by its id, and each run of others
    began: dict[int, float] = field(default_factory=dict)
    others: dict[int, float] = field(default_factory=dict)
    #: is called with a run of ours that has begun
    when_begun: Callable[[int], object] = lambda _: None

    def start(self, token: str, job_id: int) -> int:
        """Start a run, or return the one that the token has started."""
        run_id = super().start(token, job_id)
        if token.startswith(_OTHER):
            self.others[run_id] = _now()
        elif run_id not in self.began:
            self.began[run_id] = _now()
            self.when_begun(run_id)
        return run_id

    async def start_other(self) -> None:
        """Start a run that belongs to no entry."""
        body = {"job_id": 5, "idempotency_token": f"{_OTHER}{len(self.others)}"}
        with function("others"):
            async with self.request("POST", URL("http://127.0.0.1:1/api/2.2/jobs/run-now"), json=body):
                pass

    def is_done(self, entries: int) -> bool:
        """Say whether this many runs of ours have begun, and all of them have ended."""
        return len(self.began) >= entries and all(self.ends[each] <= _now() for each in self.began)


def spend(load: Load, way: Way, folder: Path) -> Day:
    """Spend a day until the last run has ended."""
    file = folder / f"{way.name}.db"
    migrate.apply(SqliteConnector(file, create=True))
    return clock.run(_spend(load, way, file))


async def _spend(load: Load, way: Way, file: Path) -> Day:
    dice, counts = random.Random(load.seed), Counts()  # noqa: S311 - no secret
    workspace = _Watched(
        counts, answer_seconds=0.15, run_seconds=lambda: _length(dice, load.run_seconds), rates={}
    )
    app = App(file, counts, {"default": workspace}, cap=load.cap, round_trip_seconds=0.002)
    began = _now()
    inserted: list[float] = []
    refill = Refill(trigger=app.timers["trigger"][1], clock=app.clock)
    with counted_log(counts):
        async with asyncio.TaskGroup() as tasks:
            jobs = [
                *_timers(app, way),
                *(_take_messages(app) for _ in range(AT_ONCE)),
                _start_others(workspace, load),
                _insert(app, load, inserted, refill if way.over_http else None),
                *([_notify(workspace, refill)] if way.notified else []),
            ]
            running = [tasks.create_task(job) for job in jobs]
            while not workspace.is_done(load.entries):
                await app.clock.sleep(5)
            for each in running:
                each.cancel()
    return Day(
        cap=load.cap,
        ours=_ours(file, workspace, inserted, began),
        foreign=[(at - began, workspace.ends[run] - began) for run, at in workspace.others.items()],
        calls=sum(n for (by, what), n in counts.of.items() if what.startswith("calls ") and by != "others"),
        transactions=counts.total("transactions") - counts.total("transactions", "insert"),
    )


def _timers(app: App, way: Way) -> list[Coroutine[Any, Any, Any]]:
    """Return the timers; entries come half a pause before the first pass of trigger."""
    trigger: Trigger = app.timers["trigger"][1]
    monitor_pass, _ = app.timers["monitor"]
    app.timers["monitor"] = (monitor_pass, trigger.watch if way.monitor_claims else trigger.monitor)
    now = _now()
    return [
        app.keep_time("trigger", every=way.trigger, first=now + way.trigger / 2, until=math.inf),
        app.keep_time("monitor", every=way.monitor, first=now + 1, until=math.inf),
    ]


async def _take_messages(app: App) -> None:
    """Be one of the submissions that go on at once on one instance."""
    while True:
        await app.take(await app.queue.waiting.get())


async def _notify(workspace: _Watched, refill: Refill) -> None:
    """Tell the app of the end of each of its runs, as the job's notifications do."""
    trigger = refill.trigger
    ended = RunEnded(
        store=trigger.store,
        runs=trigger.runs,
        workspaces=trigger.workspaces,
        settle=trigger.monitor.settle,
        refill=refill,
    )

    async def tell(run_id: int) -> None:
        await asyncio.sleep(workspace.ends[run_id] + NOTIFIED_AFTER_SECONDS - _now())
        with function("run_ended"):
            await ended(run_id)

    async with asyncio.TaskGroup() as told:
        workspace.when_begun = lambda run_id: told.create_task(tell(run_id))
        await asyncio.Event().wait()


async def _start_others(workspace: _Watched, load: Load) -> None:
    """Start runs of others, at random times."""
    dice = random.Random(load.seed + 1)  # noqa: S311 - no secret
    mean_seconds = load.run_seconds * math.exp(_SIGMA**2 / 2)
    while load.foreign:
        await workspace.start_other()
        await asyncio.sleep(dice.expovariate(load.foreign / mean_seconds))


async def _insert(app: App, load: Load, inserted: list[float], refill: Refill | None) -> None:
    """Insert the entries, half of them at once and the others in waves; note when each was there."""
    dice = random.Random(load.seed + 2)  # noqa: S311 - no secret
    waves = [load.entries // 2, *[load.entries // 2 // (load.waves - 1)] * (load.waves - 1)]
    waves[0] += load.entries - sum(waves)
    for wave in waves:
        names = [f"table {dice.randrange(load.source_tables)}" for _ in range(wave)]
        for first in range(0, wave, _BATCH):
            batch = names[first : first + _BATCH]
            await app.add("default", *batch)
            inserted.extend([_now()] * len(batch))
            if refill:
                refill.after_an_insert("default")
        await asyncio.sleep(load.wave_seconds)
    await asyncio.Event().wait()


def _ours(file: Path, workspace: _Watched, inserted: list[float], began: float) -> list[Ours]:
    """Read which entry had which run. Each has one, since all runs succeed."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT COALESCE(runid, last_runid), table_name FROM track_processing ORDER BY id"
        ).fetchall()
    return [
        Ours(
            source_table=table,
            # a run may begin before the answer of the insert is there
            inserted=min(at, workspace.began[run_id]) - began,
            began=workspace.began[run_id] - began,
            ended=workspace.ends[run_id] - began,
        )
        for at, (run_id, table) in zip(inserted, rows, strict=True)
    ]


def _length(dice: random.Random, median: float) -> float:
    return min(_LONGEST, max(_SHORTEST, dice.lognormvariate(math.log(median), _SIGMA)))


def _now() -> float:
    return asyncio.get_running_loop().time()
