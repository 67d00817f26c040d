"""A day in a minute: slots in use while entries wait, by timers alone and with notifications."""

import itertools
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.plot import Line, step_plot
from benchmarks.simulated.day import NOTIFIED_AFTER_SECONDS, Day, Load, Way, spend
from benchmarks.slots import Used, best_possible, used
from benchmarks.tables import Table

#: The small one comes quicker, so that slots are what entries wait for.
LOAD = Load(entries=1000, source_tables=1000, cap=130, foreign=10, wave_seconds=180)
FULL_LOAD = Load(entries=5000, source_tables=2000, cap=130, foreign=10)

#: The first two are before and after: the monitor's passes claimed nothing before.
BEFORE = Way(name="timers of 60 s, monitor claims nothing", monitor_claims=False)
TIMERS = Way(name="timers of 60 s")
NOTIFIED = Way(name="timers of 60 s, notifications", notified=True)
WAYS = (
    BEFORE,
    TIMERS,
    Way(name="trigger 15 s, monitor 60 s", trigger=15),
    Way(name="trigger 10 s, monitor 60 s", trigger=10),
    NOTIFIED,
)

#: Insert after insert while slots are free, after a first wave that is not counted.
TRICKLE = Load(
    entries=200, source_tables=10_000, cap=130, foreign=10, run_seconds=60, waves=101, wave_seconds=7
)
BURST = Load(
    entries=100, source_tables=10_000, cap=130, foreign=10, run_seconds=60, waves=51, wave_seconds=0.01
)
BY_SQL = Way(name="inserted by SQL, claimed by timers of 60 s")
OVER_HTTP = Way(name="inserted over HTTP, which starts a claim", over_http=True)

#: Seconds that each point of the plot is the mean of.
_STEP_SECONDS = 60.0

PLOT = Path(__file__).parents[1] / "docs" / "images" / "slots.svg"


def tables(*, full: bool) -> Iterable[Table]:
    """Spend the day in each way; the large one draws the plot of the documents, too."""
    yield measured(FULL_LOAD if full else LOAD, WAYS, plot=PLOT if full else None)
    yield waited({"one each 7 s": TRICKLE, "50 in half a second": BURST})


def measured(load: Load, ways: Sequence[Way], *, plot: Path | None) -> Table:
    """Spend the day of a load in each way."""
    with tempfile.TemporaryDirectory() as folder:
        days = [spend(load, way, Path(folder)) for way in ways]
    slots = [used(day) for day in days]
    if plot is not None:
        plot.write_text(_plot(load, ways, slots), encoding="utf-8")
    mean = statistics.fmean(run.ended - run.began for run in days[0].ours)
    return Table(
        title=f"{load.entries:,} entries of {load.source_tables:,} tables, {load.cap} slots, "
        f"{load.foreign} runs of others, runs of {mean / 60:.1f} minutes",
        columns=[
            "",
            "slots in use",
            "free slot to run: p50 s",
            "p95 s",
            "total minutes",
            "times the best",
            "calls",
            "transactions",
        ],
        rows=[_row(*each) for each in zip(ways, days, slots, strict=True)],
        notes=[
            "slots in use: the part of all slots that runs take, those of others included, while an entry "
            "waits for nothing but a slot",
            f"half of the entries come at once, the others in {load.waves - 1} waves, "
            f"{load.wave_seconds / 60:.0f} minutes apart",
            "the best: a bound, which no schedule can be quicker than that knows all lengths beforehand",
            "simulated: time, Databricks (150 ms an answer), the queue, and what the database takes (2 ms a "
            "statement); decisions, store (SQLite) and client are the app's own, and each processor second "
            f"counts; a notification comes {NOTIFIED_AFTER_SECONDS:.0f} s after the end of its run",
        ],
    )


def waited(loads: Mapping[str, Load]) -> Table:
    """Measure how long entries wait while slots are free, by the way in which they come."""
    rows = []
    for name, load in loads.items():
        for way in (BY_SQL, OVER_HTTP):
            with tempfile.TemporaryDirectory() as folder:
                day = spend(load, way, Path(folder))
            first = min(run.inserted for run in day.ours)
            waits = [run.began - run.inserted for run in day.ours if run.inserted > first]
            p95 = statistics.quantiles(waits, n=20)[-1]
            rows.append([name, way.name, f"{statistics.median(waits):.1f}", f"{p95:.1f}", f"{day.calls:,}"])
    return Table(
        title="From an insert to the run while slots are free",
        columns=["entries", "", "p50 s", "p95 s", "calls"],
        rows=rows,
    )


def _row(way: Way, day: Day, slots: Used) -> list[str]:
    total, best = max(run.ended for run in day.ours), best_possible(day)
    p95 = statistics.quantiles(slots.gaps, n=20)[-1]
    return [
        way.name,
        f"{100 * slots.share:.1f} %",
        f"{statistics.median(slots.gaps):.1f}",
        f"{p95:.1f}",
        f"{total / 60:.1f}",
        f"{total / best:.3f}",
        f"{day.calls:,}",
        f"{day.transactions:,}",
    ]


def _plot(load: Load, ways: Sequence[Way], slots: Sequence[Used]) -> str:
    shown = {BEFORE.name, TIMERS.name, NOTIFIED.name}
    lines = [
        Line(name=way.name, points=_means(each.curve))
        for way, each in zip(ways, slots, strict=True)
        if way.name in shown
    ]
    return step_plot(
        lines, top=load.cap, x_label="minutes", y_label=f"slots in use, of {load.cap}", x_unit=60.0
    )


def _means(curve: Sequence[tuple[float, int]]) -> list[tuple[float, float]]:
    """Return the mean of each step of time."""
    sums: dict[int, float] = {}
    for (at, in_use), (until, _) in itertools.pairwise(curve):
        begin = max(0.0, at)
        while begin < until:
            step = int(begin // _STEP_SECONDS)
            end = min(until, (step + 1) * _STEP_SECONDS)
            sums[step] = sums.get(step, 0.0) + in_use * (end - begin)
            begin = end
    return [(step * _STEP_SECONDS, total / _STEP_SECONDS) for step, total in sorted(sums.items())]
