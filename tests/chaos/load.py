"""Generate load: a trickle of entries by SQL and occasional bursts, of kinds with known ends."""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.e2e.stack import Stack

#: Far below what the undisturbed stack manages, so that it can catch up after a fault.
ENTRIES_PER_SECOND = 2.0

#: Occasionally, instead of one entry, more entries at once than the cap allows.
BURST_ENTRIES = 40
BURST_CHANCE = 0.02

#: Few enough that entries of one table often wait for each other, enough that a burst fills the cap.
TABLES = 150

#: A cancel request comes up to this many seconds after its entry, so that it meets every status.
CANCEL_WITHIN_SECONDS = 4.0


class Kind(StrEnum):
    """The kinds of entries."""

    PLAIN = "plain"  #: its run succeeds
    FLAKY = "flaky"  #: its first run fails, its second succeeds
    HOPELESS = "hopeless"  #: every run of it fails
    CANCELED = "canceled"  #: an operator requests its cancellation, perhaps too late
    INVALID = "invalid"  #: it can never be submitted


#: Entries of each kind per hundred.
SHARES = {Kind.PLAIN: 82, Kind.FLAKY: 5, Kind.HOPELESS: 3, Kind.CANCELED: 7, Kind.INVALID: 3}

INSERT = """
INSERT INTO track_processing (table_name, priority, workspace, parameter_style, parameters)
VALUES (?, ?, ?, ?, ?) RETURNING id
"""

#: Workspace, style and parameters of entries that can never be submitted.
NONSENSE = [
    ("default", "notebook_params", "{"),
    ("default", "no_such_style", None),
    ("default", "notebook_params", '{"nested": {"too": "deep"}}'),
    ("nowhere", "notebook_params", None),
]


@dataclass(frozen=True, kw_only=True)
class InsertedEntry:
    """An inserted entry."""

    id: int
    kind: Kind
    table: str


class Load:
    """Inserts entries until a given time.

    :param seconds: how long it is going to insert.
    """

    def __init__(self, stack: Stack, rng: random.Random, seconds: float) -> None:
        self.entries: list[InsertedEntry] = []
        self._stack = stack
        self._rng = rng
        self._seconds = seconds
        #: numbers for the rules by which a flaky entry's first run fails; a rule counts its own runs
        expected = seconds * ENTRIES_PER_SECOND * (1 + BURST_CHANCE * BURST_ENTRIES)
        self._flaky_left = list(range(round(expected * SHARES[Kind.FLAKY] / 100) + 10))
        self._cancels: list[tuple[float, int]] = []

    async def prepare(self) -> None:
        """Configure how the simulator ends the runs of flaky and hopeless entries."""
        rules = [(f"flaky-{number}", ["FAILED", "SUCCESS"]) for number in self._flaky_left]
        for fate, results in [("hopeless", ["FAILED"]), *rules]:
            await self._stack.simulator(
                "POST", "/_sim/outcomes", {"match": {"fate": fate}, "results": results}
            )

    async def run(self) -> None:
        """Insert entries and request the cancellation of some."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            await asyncio.sleep(self._rng.uniform(0, 2 / ENTRIES_PER_SECOND))
            # In a thread: a host that is frozen in a transaction blocks every writer.
            count = BURST_ENTRIES if self._rng.random() < BURST_CHANCE else 1
            await asyncio.to_thread(self._insert, count)
            await asyncio.to_thread(self._cancel, time.monotonic())
        await asyncio.to_thread(self._cancel, end + CANCEL_WITHIN_SECONDS)

    def _insert(self, count: int) -> None:
        for _ in range(count):
            self._insert_one()

    def _insert_one(self) -> None:
        kind = self._rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
        if kind is Kind.FLAKY and not self._flaky_left:
            kind = Kind.PLAIN
        table = f"table_{self._rng.randrange(TABLES):02}"
        priority = self._rng.choice([0, 0, 0, 1, 9])
        [(entry_id,)] = self._stack.write(INSERT, table, priority, *self._columns(kind, table))
        self.entries.append(InsertedEntry(id=entry_id, kind=kind, table=table))
        if kind is Kind.CANCELED:
            due = time.monotonic() + self._rng.uniform(0, CANCEL_WITHIN_SECONDS)
            self._cancels.append((due, entry_id))

    def _columns(self, kind: Kind, table: str) -> tuple[Any, ...]:
        """Return workspace, parameter style and parameters."""
        if kind is Kind.INVALID:
            return self._rng.choice(NONSENSE)
        fates = {Kind.HOPELESS: "hopeless"}
        if kind is Kind.FLAKY:
            fates[kind] = f"flaky-{self._flaky_left.pop()}"
        parameters = {"table_name": table, "fate": fates.get(kind, "fair")}
        return ("default", "notebook_params", json.dumps(parameters))

    def _cancel(self, now: float) -> None:
        due = [cancel for cancel in self._cancels if cancel[0] <= now]
        self._cancels = [cancel for cancel in self._cancels if cancel[0] > now]
        self._stack.execute(
            "UPDATE track_processing SET cancel_requested = 1 WHERE id = ?",
            [(entry_id,) for _, entry_id in due],
        )
