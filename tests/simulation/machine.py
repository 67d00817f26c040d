"""The steps that may happen next: concurrent triggers, submits and monitors, and every fault.

Hypothesis chooses the order and, when a rule is broken, prints the program that breaks it.
"""

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.core.actions import Resolution
from orchestrator.core.policy import RetryMode
from tests.simulation.databricks import FAULTS
from tests.simulation.parts import STORE_FAULTS
from tests.simulation.runs import ENDS
from tests.simulation.schedule import Schedule

NUMBER = st.integers(0, 9)
ENTRY = st.integers(1, 8)
RARELY = st.integers(1, 24)  # most of these entries do not exist
MODE = st.sampled_from([None, *RetryMode])


class Simulation(RuleBasedStateMachine):
    """One schedule: a world and the steps taken in it."""

    #: where the workspace is, by the settings of each app
    hosts: tuple[str, ...] = ("",)
    #: further workspaces of each app
    others: tuple[str, ...] = ()
    #: finished worlds, and the steps taken in them, since the process began
    schedules = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = Schedule(Path(self._folder.name), self.hosts, self.others)

    @initialize()
    def some_entries(self) -> None:
        for table, mode in zip("abcda", [None, "repair", "repair", "run", "repair"], strict=True):
            self.world.insert(table, retry_mode=mode)

    @rule(
        table=st.sampled_from("abcdef"),
        parameters=st.sampled_from([None, None, "{"]),
        priority=st.integers(-1, 1),
        mode=MODE,
    )
    def insert(self, table: str, parameters: str | None, priority: int, mode: RetryMode | None) -> None:
        self.world.insert(table, parameters=parameters, priority=priority, retry_mode=mode)

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

    @rule(lag=st.booleans())
    def repairs_lag(self, lag: bool) -> None:
        self.world.databricks.repairs_lag = lag

    @rule(how=st.sampled_from(["", "lost before", "refused"]))
    def repairs_fail(self, how: str) -> None:
        """No run can be repaired for a while, or for good."""
        self.world.databricks.repairs_fail = how

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

    @precondition(lambda self: self.world.databricks.live())
    @rule(which=NUMBER)
    def fail(self, which: int) -> None:
        """A run fails, a pass sees it, and its entry's back-off passes, so that it is retried next."""
        live = self.world.databricks.live()
        self.world.databricks.end(live[which % len(live)], "failed")
        self.world.scheduler.finish()
        self.world.start_monitor()
        self.world.scheduler.finish()
        self.world.offset += timedelta(seconds=40)

    @precondition(lambda self: self.world.databricks.live())
    @rule(which=NUMBER)
    def person_cancels(self, which: int) -> None:
        """A person cancels a run in Databricks."""
        live = self.world.databricks.live()
        self.world.databricks.end(live[which % len(live)], "canceled")

    @precondition(lambda self: self.world.databricks.live())
    @rule(which=NUMBER)
    def leave_queue(self, which: int) -> None:
        """A run that waited in Databricks' own queue begins to execute."""
        live = self.world.databricks.live()
        live[which % len(live)].leave_queue()

    @precondition(lambda self: self.world.databricks.over())
    @rule(which=NUMBER)
    def person_repairs(self, which: int) -> None:
        """A person runs the failed tasks of a run again."""
        over = self.world.databricks.over()
        self.world.repair_by_hand(over[which % len(over)])

    @precondition(lambda self: self.world.databricks.over())
    @rule(which=NUMBER)
    def delete_run(self, which: int) -> None:
        """Somebody deletes a run, or its 60 days have passed."""
        over = self.world.databricks.over()
        over[which % len(over)].deleted = True

    @precondition(lambda self: len(self.world.followed()) >= 3)
    @rule(passes=st.integers(1, 3))
    def all_vanish(self, passes: int) -> None:
        """A replica that knows no run answers for some passes: none of three or more is believed."""
        self.world.scheduler.finish()
        self.world.offset += timedelta(seconds=200)  # no run is so new that it need not be known yet
        # Somebody may have set an entry RUNNING whose run is over, which the next pass puts right.
        live = {run.run_id for run in self.world.databricks.live()}
        followed = self.world.followed() & live - {run.run_id for run in self.world.rules.lost}
        # Their cancellation ends these: an operator's restart, a limit of time, a request to cancel.
        followed -= {
            run_id
            for (run_id,) in self.world.sql(
                "SELECT runid FROM track_processing WHERE stop_reason IS NOT NULL OR cancel_requested = 1"
            )
        }
        self.world.databricks.faults.clear()
        self.world.databricks.vanished = self.hosts if len(followed) >= 3 else ()
        for _ in range(passes):
            self.quiet_pass()
            self.world.offset += timedelta(seconds=60)
        if self.world.databricks.vanished:
            assert followed <= self.world.followed()
        self.world.databricks.vanished = ()

    @precondition(lambda self: self.world.databricks.runs)
    @rule(which=NUMBER, unreadable=st.booleans())
    def withdraw_permission(self, which: int, unreadable: bool) -> None:
        """The app may not see a run for a while."""
        runs = list(self.world.databricks.runs.values())
        runs[which % len(runs)].unreadable = unreadable

    @rule(seconds=st.sampled_from([5, 40, 200, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.world.offset += timedelta(seconds=seconds)

    @rule(which=ENTRY)
    def cancel(self, which: int) -> None:
        self.world.ask_to_cancel(which)

    @rule(which=ENTRY)
    def retry_by_sql(self, which: int) -> None:
        self.world.run_again("id = ? AND status IN ('DONE', 'DEAD', 'CANCELED')", which)

    @rule(which=ENTRY, mode=MODE)
    def retry(self, which: int, mode: RetryMode | None) -> None:
        self.world.operator.retry(which, mode)

    @rule(which=ENTRY)
    def restart(self, which: int) -> None:
        self.world.operator.restart(which)

    @rule(which=RARELY, how=st.sampled_from(Resolution))
    def resolve(self, which: int, how: Resolution) -> None:
        self.world.resolve(which, how)

    @rule(count=st.integers(0, 3))
    def foreign_runs(self, count: int) -> None:
        self.world.databricks.foreign = {-number for number in range(1, count + 1)}

    @invariant()
    def rules_hold(self) -> None:
        Simulation.steps += 1
        self.world.check()

    def teardown(self) -> None:
        try:
            self.world.end_faults()
            self.go_on_alone()
            self.world.drain()
            Simulation.schedules += 1
        finally:
            self.world.close()
            self._folder.cleanup()

    def go_on_alone(self) -> None:
        """Let what a machine has besides go on after all other faults, then end it."""
