"""The steps that may happen next: concurrent triggers, submits and monitors, and every fault.

Hypothesis chooses the order and, when a rule is broken, prints the program that breaks it.
"""

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.simulation.databricks import ENDS, FAULTS
from tests.simulation.schedule import STORE_FAULTS, Schedule

NUMBER = st.integers(0, 9)
ENTRY = st.integers(1, 8)


class Simulation(RuleBasedStateMachine):
    """One schedule: a world and the steps taken in it."""

    #: finished worlds, and the steps taken in them, since the process began
    schedules = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = Schedule(Path(self._folder.name))

    @initialize()
    def some_entries(self) -> None:
        for table in "abcda":
            self.world.insert(table)

    @rule(
        table=st.sampled_from("abcdef"),
        parameters=st.sampled_from([None, None, "{"]),
        priority=st.integers(-1, 1),
    )
    def insert(self, table: str, parameters: str | None, priority: int) -> None:
        self.world.insert(table, parameters=parameters, priority=priority)

    @rule()
    def trigger(self) -> None:
        self.world.start_trigger()

    @rule()
    def monitor(self) -> None:
        self.world.start_monitor()

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER, keep=st.booleans())
    def deliver(self, which: int, keep: bool) -> None:
        self.world.deliver(which, keep=keep)

    @precondition(lambda self: self.world.scheduler.tasks)
    @rule(order=st.lists(NUMBER, min_size=10, max_size=40))
    def go_on(self, order: list[int]) -> None:
        for which in order:
            self.world.scheduler.advance(which)
            self.world.check()

    @rule()
    def quiet_pass(self) -> None:
        """Make a whole pass and deliver its messages without interruption."""
        self.world.scheduler.finish()
        self.world.start_trigger()
        self.world.scheduler.finish()
        for _ in range(len(self.world.queue.messages)):
            self.world.deliver(0, keep=False)
            self.world.scheduler.finish()

    @precondition(lambda self: self.world.scheduler.tasks)
    @rule(which=NUMBER)
    def crash(self, which: int) -> None:
        self.world.scheduler.crash(which)

    @precondition(lambda self: self.world.scheduler.tasks)
    @rule()
    def crash_all(self) -> None:
        self.world.scheduler.crash_all()

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER)
    def poison(self, which: int) -> None:
        """A message fails five times and moves to the poison queue."""
        del self.world.queue.messages[which % len(self.world.queue.messages)]

    @rule(fault=st.sampled_from(FAULTS))
    def databricks_fault(self, fault: str) -> None:
        self.world.databricks.faults.insert(0, fault)

    @rule(fault=st.sampled_from(STORE_FAULTS))
    def store_fault(self, fault: str) -> None:
        self.world.pool.faults.insert(0, fault)

    @rule(fault=st.sampled_from(["", "full", "answer lost"]))
    def queue_fault(self, fault: str) -> None:
        self.world.queue.fault = fault

    @precondition(lambda self: self.world.databricks.live())
    @rule(which=NUMBER, how=st.sampled_from(list(ENDS)))
    def end_run(self, which: int, how: str) -> None:
        live = self.world.databricks.live()
        self.world.databricks.end(live[which % len(live)], how)

    @precondition(lambda self: self.world.databricks.runs)
    @rule(which=NUMBER)
    def forget_run(self, which: int) -> None:
        self.world.databricks.forget(1 + which % len(self.world.databricks.runs))

    @rule(seconds=st.sampled_from([5, 40, 200, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.world.offset += timedelta(seconds=seconds)

    @rule(which=ENTRY)
    def cancel(self, which: int) -> None:
        self.world.ask_to_cancel(which)

    @rule(which=ENTRY)
    def retry(self, which: int) -> None:
        """Retry as an operator by SQL, as in docs/sql.md."""
        self.world.run_again("id = ? AND status IN ('DONE', 'DEAD', 'CANCELED')", which)

    @rule(count=st.integers(0, 3))
    def foreign_runs(self, count: int) -> None:
        self.world.databricks.foreign = {-number for number in range(1, count + 1)}

    @invariant()
    def rules_hold(self) -> None:
        Simulation.steps += 1
        self.world.check()

    def teardown(self) -> None:
        try:
            self.world.drain()
            Simulation.schedules += 1
        finally:
            self.world.close()
            self._folder.cleanup()
