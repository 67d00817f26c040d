"""Many triggers, submits and monitors at once, interleaved at every boundary, through every fault.

Hypothesis chooses the order and, when a rule is broken, prints the program that breaks it.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.simulation.world import FAULTS, World

#: More, each time other ones, and the shortest program that fails, with SIMULATION_EXAMPLES=…
WANTED = os.environ.get("SIMULATION_EXAMPLES")
EXAMPLES = int(WANTED or "60")

NUMBER = st.integers(0, 9)


class Simulation(RuleBasedStateMachine):
    """The rules are what may happen next."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name))

    @initialize()
    def some_rows(self) -> None:
        for table in "abcda":
            self.world.insert(table, invalid=False)

    @rule(table=st.sampled_from("abcdef"), invalid=st.sampled_from([False, False, True]))
    def insert(self, table: str, invalid: bool) -> None:
        self.world.insert(table, invalid=invalid)

    @rule()
    def trigger(self) -> None:
        self.world.scheduler.start(self.world.trigger())

    @rule()
    def monitor(self) -> None:
        self.world.scheduler.start(self.world.monitor())

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER, keep=st.booleans())
    def deliver(self, which: int, keep: bool) -> None:
        self.world.deliver(which, keep=keep)

    @precondition(lambda self: self.world.scheduler.tasks)
    @rule(steps=st.lists(NUMBER, min_size=10, max_size=40))
    def go_on(self, steps: list[int]) -> None:
        for which in steps:
            self.world.scheduler.advance(which)
            self.world.check()

    @rule()
    def quiet_tick(self) -> None:
        """A whole tick and its messages, with nothing between."""
        self.world.scheduler.finish()
        self.world.scheduler.start(self.world.trigger())
        self.world.scheduler.finish()
        for _ in range(len(self.world.queue.messages)):
            self.world.deliver(0, keep=False)
            self.world.scheduler.finish()

    @precondition(lambda self: self.world.scheduler.tasks)
    @rule(which=NUMBER)
    def crash(self, which: int) -> None:
        self.world.scheduler.crash(which)

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER)
    def poison(self, which: int) -> None:
        """A message fails five times and is put aside."""
        del self.world.queue.messages[which % len(self.world.queue.messages)]

    @rule(fault=st.sampled_from(FAULTS))
    def fault(self, fault: str) -> None:
        self.world.databricks.faults.insert(0, fault)

    @rule(full=st.booleans())
    def queue_fault(self, full: bool) -> None:
        self.world.queue.full = full

    @precondition(lambda self: self.world.databricks.live())
    @rule(which=NUMBER, result=st.sampled_from(["SUCCESS", "FAILED"]))
    def end_run(self, which: int, result: str) -> None:
        live = self.world.databricks.live()
        self.world.databricks.end(live[which % len(live)], result)

    @rule(seconds=st.sampled_from([5, 40, 200]))
    def pass_time(self, seconds: int) -> None:
        self.world.offset += timedelta(seconds=seconds)

    @rule(which=st.integers(1, 8))
    def cancel(self, which: int) -> None:
        self.world.sql("UPDATE track_processing SET cancel_requested = 1 WHERE id = ?", which)

    @rule(which=st.integers(1, 8))
    def retry(self, which: int) -> None:
        """An operator by SQL, as docs/sql.md has it."""
        self.world.sql(
            "UPDATE track_processing SET status = 'PENDING', cancel_requested = 0"
            " WHERE id = ? AND status IN ('DONE', 'DEAD', 'CANCELED')",
            which,
        )

    @rule(count=st.integers(0, 3))
    def foreign_runs(self, count: int) -> None:
        self.world.databricks.foreign = {-number for number in range(1, count + 1)}

    @invariant()
    def rules_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        try:
            self.world.drain()
        finally:
            self.world.close()
            self._folder.cleanup()


Simulation.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    derandomize=not WANTED,
    phases=tuple(Phase) if WANTED else (Phase.generate,),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

TestSimulation = pytest.mark.timeout(0 if WANTED else 120)(Simulation.TestCase)
