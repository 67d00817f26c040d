"""Inject faults in an order that a seed decides: kill, freeze, double, silence and misconfigure parts."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import aiohttp

from orchestrator.adapters.store.sqlite import SqliteConnector
from tests.chaos.parts import LEASE_SECONDS, Parts
from tests.operators import Operator

#: Seconds between two faults.
PAUSE_SECONDS = (0.5, 4.0)

#: How long a part stays down after a kill, in seconds.
AWAY_SECONDS = (0.0, 3.0)

#: An entry must go DONE within this many seconds after a fault that no other fault follows at once. It is far
#: above lease and pass, since the machine may be busy.
RECOVERY_SECONDS = 60.0

#: A list of active runs that hangs is there after so many seconds.
HANG_SECONDS = 8.0

#: How often the audit is polled for it, in seconds; the time itself comes from the audit.
POLL_SECONDS = 0.1


class Faults:
    """Injects faults until a given time.

    :param rng: decides which, when and how long.
    """

    def __init__(self, parts: Parts, rng: random.Random, seconds: float) -> None:
        self.kills: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        #: seconds from a part's return to the next entry that went DONE, with the name of the fault
        self.recoveries: list[tuple[float, str]] = []
        #: when a part was back, continued, or was the only one again
        self.ends: list[datetime] = []
        self.violations: list[str] = []
        self._parts = parts
        self._rng = rng
        self._seconds = seconds
        self._bag: list[str] = []
        self._faults: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "kill two": self._kill_two,
            "sigterm": self._terminate,
            "stale writer": self._stale_writer,
            "two hosts": self._two_hosts,
            "hanging list": self._hanging_list,
            "silent submit": self._silent_submit,
            "stranger": self._stranger,
        }

    async def run(self) -> None:
        """Inject one fault after another; at the end every part and one host are running."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            name = self._next()
            await self._faults[name]()
            self.others[name] += 1
            if self._rng.random() < 0.5:
                await self._recover(name, end)
            await asyncio.sleep(self._rng.uniform(*PAUSE_SECONDS))

    def _next(self) -> str:
        """Draw from a bag that is refilled when empty, so that even a short run has every fault."""
        if not self._bag:
            self._bag = ["kill", "kill", "kill", *self._faults]
            self._rng.shuffle(self._bag)
        return self._bag.pop()

    async def _kill(self) -> None:
        await self._kill_and_start(self._rng.choice(["host", "azurite", "simulator"]))

    async def _kill_two(self) -> None:
        one, two = self._rng.sample(["host", "azurite", "simulator"], 2)
        # One after another in one task: the order must not depend on the machine.
        away = [self._rng.uniform(*AWAY_SECONDS) for _ in range(2)]
        await asyncio.gather(self._kill_and_start(one, away[0]), self._kill_and_start(two, away[1]))

    async def _kill_and_start(self, name: str, away: float | None = None) -> None:
        away = self._rng.uniform(*AWAY_SECONDS) if away is None else away
        await asyncio.to_thread(self._parts.kill, name)
        self.kills[name] += 1
        await asyncio.sleep(away)
        await self._start(name)

    async def _start(self, name: str) -> None:
        await asyncio.to_thread(self._parts.start, name)
        self.ends.append(datetime.now(UTC))

    async def _terminate(self) -> None:
        await self._end_by_sigterm("host")
        await asyncio.sleep(self._rng.uniform(*AWAY_SECONDS))
        await self._start("host")

    async def _end_by_sigterm(self, name: str) -> None:
        code = await asyncio.to_thread(self._parts.terminate, name)
        if code != 0:
            self.violations.append(f"a host ended with exit code {code} after SIGTERM")

    async def _stale_writer(self) -> None:
        """Freeze the host until its leases expire and another host has done its work, then thaw it."""
        await asyncio.to_thread(self._parts.start, "second")
        self._parts.freeze("host")
        try:
            await asyncio.sleep(LEASE_SECONDS + self._rng.uniform(1.0, 3.0))
        finally:
            self._parts.thaw("host")
            self.ends.append(datetime.now(UTC))
        await asyncio.sleep(self._rng.uniform(0.5, 3.0))
        await self._end_one_host()

    async def _two_hosts(self) -> None:
        await asyncio.to_thread(self._parts.start, "second")
        await asyncio.sleep(self._rng.uniform(2.0, 5.0))
        await self._end_one_host()

    async def _hanging_list(self) -> None:
        """Let the list of active runs hang for everybody who asks for it within three seconds."""
        fault = {"match": "runs/list", "kind": "delay", "seconds": HANG_SECONDS, "for_seconds": 3}
        await self._parts.stack.simulator("POST", "/_sim/faults", fault)
        await asyncio.sleep(3 + HANG_SECONDS)
        self.ends.append(datetime.now(UTC))

    async def _silent_submit(self) -> None:
        """Let nobody take up messages for longer than a lease."""
        await self._end_by_sigterm("host")
        await asyncio.to_thread(self._parts.start, "silent")
        await asyncio.sleep(LEASE_SECONDS + self._rng.uniform(1.0, 3.0))
        await self._end_by_sigterm("silent")
        await self._start("host")

    async def _stranger(self) -> None:
        """Start a host whose settings name the workspace by another address, until somebody notices.

        It may begin something if nothing is open at the first address. So an operator says afterwards where
        the workspace is.
        """
        await asyncio.to_thread(self._parts.start, "stranger")
        await asyncio.sleep(self._rng.uniform(2.0, 5.0))
        await self._check_refusal()
        if self._rng.random() < 0.5:
            await asyncio.to_thread(self._parts.kill, "stranger")
        else:
            await self._end_by_sigterm("stranger")
        operator = Operator(SqliteConnector(self._parts.stack.database))
        await asyncio.to_thread(operator.say_moved, "default", self._parts.stack.simulator_url)
        self.ends.append(datetime.now(UTC))

    async def _check_refusal(self) -> None:
        """Check that the stranger's health names what is open at the first address all the time."""
        before = await self._open_elsewhere()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._parts.url('stranger')}/api/health") as response,
        ):
            health = await response.text()
        if not before & await self._open_elsewhere():
            return
        self.others["refusal"] += 1
        if "begins nothing" not in health:
            self.violations.append(f"a host with another address is not refused in health: {health}")

    async def _open_elsewhere(self) -> set[tuple[int, int]]:
        """Return the entries that have a run at the first address, with their submissions."""
        sql = (
            "SELECT id, submission FROM track_processing WHERE status = 'RUNNING'"
            f" AND workspace_address = '{self._parts.stack.simulator_url}'"
        )
        return set(await asyncio.to_thread(self._parts.stack.query, sql))

    async def _end_one_host(self) -> None:
        name = self._rng.choice(["host", "second"])
        if self._rng.random() < 0.5:
            await asyncio.to_thread(self._parts.kill, name)
            self.kills["host"] += 1
        else:
            await self._end_by_sigterm(name)
            self.others["sigterm"] += 1
        self.ends.append(datetime.now(UTC))
        if name == "host":
            self._parts.second_becomes_host()

    async def _recover(self, fault: str, end: float) -> None:
        """Wait for the next entry that goes DONE and record how long that took by the database's clock.

        :param end: of the load; then there may be no more entries.
        """
        back = datetime.now(UTC)
        text = back.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        sql = f"SELECT MIN(at) FROM audit WHERE new = 'DONE' AND at > '{text}'"
        limit = time.monotonic() + RECOVERY_SECONDS
        while time.monotonic() < limit:
            [(at,)] = await asyncio.to_thread(self._parts.stack.query, sql)
            if at is not None:
                done = datetime.strptime(at, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
                self.recoveries.append(((done - back).total_seconds(), fault))
                return
            if time.monotonic() > end:
                return
            await asyncio.sleep(POLL_SECONDS)
        self.violations.append(
            f"no entry went DONE within {RECOVERY_SECONDS:.0f} s after the fault {fault!r}"
        )
