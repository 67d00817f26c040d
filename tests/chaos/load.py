"""Generate load: a trickle of entries by SQL and occasional bursts, of kinds with known ends."""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos.kinds import SHARES, Kind
from tests.chaos.people import ACTS_WITHIN_SECONDS, People
from tests.e2e.stack import Stack

#: Far below what the undisturbed stack manages, so that it can catch up after a fault.
ENTRIES_PER_SECOND = 2.0

#: Occasionally, instead of one entry, more entries at once than the cap allows.
BURST_ENTRIES = 40
BURST_CHANCE = 0.02

#: Few enough that entries of one table often wait for each other, enough that a burst fills the cap.
TABLES = 150

INSERT = """
INSERT INTO track_processing (
    table_name, priority, workspace, parameter_style, parameters, max_attempts, retry_mode
)
VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id
"""

#: The first run of these fails, and what is run again succeeds.
FAIL_ONCE = frozenset({Kind.FLAKY, Kind.MENDED, Kind.REPAIRED})

#: Workspace, style and parameters of entries that can never be submitted.
NONSENSE = [
    ("default", "notebook_params", "{"),
    ("default", "no_such_style", None),
    ("default", "notebook_params", '{"nested": {"too": "deep"}}'),
    ("default", "jar_params", None),
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
        self.people = People(stack=stack, rng=rng)
        self.entries: list[InsertedEntry] = []
        self._stack = stack
        self._rng = rng
        self._seconds = seconds
        #: numbers for the rules by which the first run of an entry fails; a rule counts its own runs
        expected = seconds * ENTRIES_PER_SECOND * (1 + BURST_CHANCE * BURST_ENTRIES)
        self._flaky_left = list(range(round(expected * sum(SHARES[kind] for kind in FAIL_ONCE) / 100) + 20))

    async def prepare(self) -> None:
        """Configure which runs fail in the simulator, for good or once."""
        rules = [(f"flaky-{number}", ["FAILED", "SUCCESS"]) for number in self._flaky_left]
        for fate, results in [("hopeless", ["FAILED"]), *rules]:
            await self._stack.simulator(
                "POST", "/_sim/outcomes", {"match": {"fate": fate}, "results": results}
            )

    async def run(self) -> None:
        """Insert entries, and let people act on some."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            await asyncio.sleep(self._rng.uniform(0, 2 / ENTRIES_PER_SECOND))
            # In a thread: a host that is frozen in a transaction blocks every writer.
            count = BURST_ENTRIES if self._rng.random() < BURST_CHANCE else 1
            await asyncio.to_thread(self._insert, count)
            await asyncio.to_thread(self.people.act, time.monotonic())
        await asyncio.to_thread(self.people.act, end + ACTS_WITHIN_SECONDS)

    def _insert(self, count: int) -> None:
        for _ in range(count):
            self._insert_one()

    def _insert_one(self) -> None:
        kind = self._rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
        if kind in FAIL_ONCE and not self._flaky_left:
            kind = Kind.PLAIN
        table = f"table_{self._rng.randrange(TABLES):02}"
        priority = self._rng.choice([0, 0, 0, 1, 9])
        retries = (1 if kind is Kind.REPAIRED else None, "repair" if kind is Kind.MENDED else None)
        [(entry_id,)] = self._stack.write(INSERT, table, priority, *self._columns(kind, table), *retries)
        self.entries.append(InsertedEntry(id=entry_id, kind=kind, table=table))
        self.people.expect(kind, entry_id)

    def _columns(self, kind: Kind, table: str) -> tuple[Any, ...]:
        """Return workspace, parameter style and parameters."""
        if kind is Kind.INVALID:
            return self._rng.choice(NONSENSE)
        fates = {Kind.HOPELESS: "hopeless"}
        if kind in FAIL_ONCE:
            fates[kind] = f"flaky-{self._flaky_left.pop()}"
        parameters = {"table_name": table, "fate": fates.get(kind, "fair")}
        return ("default", "notebook_params", json.dumps(parameters))
