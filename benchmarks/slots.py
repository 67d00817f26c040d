"""How well slots were used: by what began and ended when, and what entries waited meanwhile."""

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from benchmarks.simulated.day import Day


@dataclass(frozen=True, kw_only=True)
class Used:
    """What became of the slots of a day."""

    #: the part of all slots that runs took while entries could have gone on, 0 to 1
    share: float
    #: from a slot that fell free, or the entry that came, to the next run in it, in seconds
    gaps: list[float]
    #: from time to time: (seconds, slots in use)
    curve: list[tuple[float, int]]


@dataclass
class _State:
    """Who has slots and who waits at one time."""

    cap: int
    in_use: int = 0
    #: entries that wait, and runs that are alive, by source table
    waiting: Counter[str] = field(default_factory=Counter)
    alive: set[str] = field(default_factory=set)
    #: how many source tables have an entry that waits for nothing but a slot
    ready: int = 0
    #: since when there is such an entry; None = there is none
    ready_since: float | None = None
    #: when each free slot fell free
    free: deque[float] = field(default_factory=deque)

    def change(self, table: str, *, waiting: int = 0, alive: bool | None = None) -> None:
        """Note what a table's entries do."""
        before = self._is_ready(table)
        self.waiting[table] += waiting
        if alive is not None:
            (self.alive.add if alive else self.alive.discard)(table)
        self.ready += self._is_ready(table) - before

    def note_ready(self, at: float) -> None:
        """Note whether an entry waits for nothing but a slot."""
        if not self.ready:
            self.ready_since = None
        elif self.ready_since is None:
            self.ready_since = at

    def _is_ready(self, table: str) -> bool:
        return self.waiting[table] > 0 and table not in self.alive


def used(day: Day) -> Used:
    """Follow a day from event to event.

    An entry waits for a slot from its insert to the begin of its run, as long as no other run of its table is
    alive.
    """
    state = _State(cap=day.cap, free=deque([0.0] * day.cap))
    taken = possible = last = 0.0
    gaps: list[float] = []
    curve: list[tuple[float, int]] = []
    for at, event, table in sorted(_events(day)):
        if state.ready:
            taken += min(state.in_use, day.cap) * (at - last)
            possible += day.cap * (at - last)
        last = at
        gaps.extend(_happens(state, at, event, table))
        curve.append((at, state.in_use))
    return Used(share=taken / possible, gaps=gaps, curve=curve)


def _happens(state: _State, at: float, event: str, table: str) -> Iterator[float]:
    """Let something happen; yield how long a slot was free that a run of ours has taken."""
    if event == "insert":
        state.change(table, waiting=1)
    elif event.startswith("begin"):
        freed = state.free.popleft() if state.free else at
        state.in_use += 1
        if event == "begin":
            yield at - max(freed, at if state.ready_since is None else state.ready_since)
            state.change(table, waiting=-1, alive=True)
    else:
        state.in_use -= 1
        if state.in_use < state.cap:
            state.free.append(at)
        state.change(table, alive=False)
    state.note_ready(at)


def _events(day: Day) -> Iterable[tuple[float, str, str]]:
    for run in day.ours:
        yield run.inserted, "insert", run.source_table
        yield run.began, "begin", run.source_table
        yield run.ended, "end", run.source_table
    for began, ended in day.foreign:
        yield began, "begin of others", ""
        yield ended, "end of others", ""


def best_possible(day: Day) -> float:
    """Return a time before which no schedule ends, in seconds, from the first insert.

    Whatever came at a time or later needs its own work in slots that no run of others has, and the runs of
    one table follow one another.
    """
    return max(_by_slots(day), _by_tables(day))


def _by_slots(day: Day) -> float:
    latest = 0.0
    for since in {math.floor(run.inserted) for run in day.ours}:
        work = sum(run.ended - run.began for run in day.ours if run.inserted >= since)
        latest = max(latest, _end_of(work, since, day))
    return latest


def _end_of(work: float, since: float, day: Day) -> float:
    """Return when the slots that foreign runs leave free have done this many seconds of work."""
    changes = sorted([(began, -1) for began, _ in day.foreign] + [(ended, 1) for _, ended in day.foreign])
    slots, at = day.cap, since
    for when, change in changes:
        if when > at:
            if (when - at) * slots >= work:
                break
            work -= (when - at) * slots
            at = when
        slots += change
    return at + work / slots


def _by_tables(day: Day) -> float:
    ordered = sorted(day.ours, key=lambda run: (run.source_table, run.inserted))
    latest = 0.0
    for _, runs in itertools.groupby(ordered, key=lambda run: run.source_table):
        at = 0.0
        for run in runs:
            at = max(at, run.inserted) + run.ended - run.began
        latest = max(latest, at)
    return latest
