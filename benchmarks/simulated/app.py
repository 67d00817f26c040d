"""The app in simulated time: its timers, its queue, and the instances that take the messages."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.simulated.clock import LoopClock
from benchmarks.simulated.counts import CountingTelemetry, Counts, function
from benchmarks.simulated.databricks import Workspace
from benchmarks.simulated.store import CountingPool, Database
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.models import AskedBy, Claim, NewEntry
from orchestrator.core.policy import Policy, WorkspacePolicy
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.monitor import Monitor
from orchestrator.usecases.planning import Planner
from orchestrator.usecases.settle import Settle
from orchestrator.usecases.submit import Submit
from orchestrator.usecases.timer_pass import TimerPass
from orchestrator.usecases.trigger import Trigger

#: Submissions at once in an instance, and messages for which the host adds one (batchSize of host.json).
AT_ONCE = 10
BATCH = 5

#: The jobs of each workspace: two, since a job has 1,000 runs at once at most.
JOBS = (5, 6)

#: What sending, or taking and deleting, a message takes.
QUEUE_SECONDS = 0.01

POLICY = Policy(
    max_attempts=3,
    retry_backoff_seconds=60,
    submit_lease_seconds=900,
    max_deliveries=10,
    run_timeout_seconds=0,
    serialize_tables=True,
)


@dataclass
class MessageQueue:
    """Takes messages ten at once from each sender, and remembers them (the port ``Queue``)."""

    counts: Counts
    waiting: asyncio.Queue[Claim] = field(default_factory=asyncio.Queue)

    async def send(self, claims: Sequence[Claim]) -> list[Claim]:
        """Send a message for each claim; all are taken."""
        for first in range(0, len(claims), AT_ONCE):
            batch = claims[first : first + AT_ONCE]
            await asyncio.sleep(QUEUE_SECONDS)
            for claim in batch:
                self.counts.add_now("messages")
                self.waiting.put_nowait(claim)
        return []


@dataclass
class App:
    """All instances of one app on one database.

    :param cap: slots of each workspace.
    :param most_instances: of the function ``submit``.
    """

    file: Path
    counts: Counts
    workspaces: dict[str, Workspace]
    cap: int
    round_trip_seconds: float
    most_instances: int = 100

    def __post_init__(self) -> None:
        self.database = Database(self.file, self.counts, round_trip_seconds=self.round_trip_seconds)
        self.queue = MessageQueue(self.counts)
        self.clock = LoopClock()
        self.policies = {
            name: WorkspacePolicy(name=name, job_id=JOBS[0], cap=self.cap) for name in self.workspaces
        }
        self.timers = {name: self._timer(name) for name in ("trigger", "monitor")}
        self._instances: list[Submit] = []
        self._submissions: set[asyncio.Task[None]] = set()

    async def add(self, workspace: str, *tables: str) -> None:
        """Insert entries, as somebody else does: it is not the app's work."""
        with function("insert"):
            pool = CountingPool(self.database)
            await Operations(pool).add([NewEntry(table_name=table, workspace=workspace) for table in tables])
            pool._disconnect()

    async def make_pass(self, name: str) -> float:
        """Make a pass of a timer function and return the seconds that it took."""
        began = self.clock.monotonic()
        with function(name):
            self.counts.add("executions")
            timer_pass, work = self.timers[name]
            await timer_pass(name, work, asked_by=AskedBy.TIMER)
        return self.clock.monotonic() - began

    async def keep_time(self, name: str, *, every: float, first: float, until: float) -> list[float]:
        """Make the passes of a timer function; return the seconds of each. A late one is not made up for."""
        taken, at = [], first
        while at < until:
            await asyncio.sleep(max(0.0, at - self.clock.monotonic()))
            taken.append(await self.make_pass(name))
            at = first + math.ceil((self.clock.monotonic() - first) / every) * every
        return taken

    async def deliver(self, *, until: float) -> None:
        """Let instances take the messages that wait, as many at once as the host's scale-out would have."""
        while self.clock.monotonic() < until:
            room = self._instances_for(self.queue.waiting.qsize()) * AT_ONCE - len(self._submissions)
            while room > 0 and not self.queue.waiting.empty():
                task = asyncio.create_task(self._submit(self.queue.waiting.get_nowait()))
                self._submissions.add(task)
                task.add_done_callback(self._submissions.discard)
                room -= 1
            await asyncio.sleep(0.02)
        await asyncio.gather(*self._submissions)

    def _instances_for(self, messages: int) -> int:
        in_use = math.ceil(len(self._submissions) / AT_ONCE)
        wanted = min(self.most_instances, max(in_use, math.ceil(messages / BATCH)))
        self.counts.peaks["instances"] = max(self.counts.peaks["instances"], wanted)
        return wanted

    async def take(self, claim: Claim) -> None:
        """Submit the entry of one message, as one of those that go on at once."""
        await self._submit(claim)

    async def _submit(self, claim: Claim) -> None:
        instance = self._instance(len(self._submissions) // AT_ONCE)
        with function("submit"):
            self.counts.add("executions")
            await asyncio.sleep(QUEUE_SECONDS)
            with CountingTelemetry(self.counts).span("submit"):
                await instance(claim)

    def _instance(self, number: int) -> Submit:
        while len(self._instances) <= number:
            self._instances.append(self._make_submit())
        return self._instances[number]

    def _parts(self) -> dict[str, Any]:
        """Return what the use cases of one instance share."""
        return {
            "store": Store(CountingPool(self.database)),
            "runs": {name: workspace.client() for name, workspace in self.workspaces.items()},
            "policy": POLICY,
        }

    def _jobs(self, parts: dict[str, Any]) -> Jobs:
        return Jobs(runs=parts["runs"], workspaces=self.policies, clock=self.clock)

    def _make_submit(self) -> Submit:
        parts = self._parts()
        planner = Planner(jobs=self._jobs(parts), workspaces=self.policies, **parts)
        return Submit(clock=self.clock, planner=planner, telemetry=CountingTelemetry(self.counts), **parts)

    def _timer(self, name: str) -> tuple[TimerPass, Any]:
        parts, telemetry = self._parts(), CountingTelemetry(self.counts)
        jobs = self._jobs(parts)
        settle = Settle(clock=self.clock, jobs=jobs, telemetry=telemetry, **parts)
        shared = {**parts, "workspaces": self.policies, "clock": self.clock, "queue": self.queue}
        monitor = Monitor(settle=settle, **shared)
        trigger = Trigger(monitor=monitor, jobs=jobs, telemetry=telemetry, **shared)

        async def check() -> None:
            """Do nothing: the schema is checked once in the life of a process."""

        timer_pass = TimerPass(
            pass_log=PassLog(parts["store"].pool),
            alerting=None,
            telemetry=telemetry,
            clock=self.clock,
            check=check,
        )
        return timer_pass, trigger if name == "trigger" else monitor
