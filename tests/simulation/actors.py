"""Who else acts in a schedule: each actor alone, beside every fault and everything that people do.

An actor may go on for as long as it likes. Meanwhile health gives a reason if it keeps entries from going on;
when it is over, every entry comes to its end without a person.
"""

from datetime import timedelta
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from orchestrator.core.health import Trouble
from tests.operators import HANDS
from tests.simulation.machine import ENTRY, NUMBER, Simulation
from tests.simulation.schedule import MAX_ATTEMPTS, PASSES, VANISHED

#: Passes in which an actor goes on alone: twenty minutes.
_PASSES = 12

#: After which a workspace that has not answered is named.
_SILENT = timedelta(minutes=10)

#: While a list does not come for 145 s, another workspace is looked at every 30 s.
_ROUNDS = 4

#: A message that nobody takes up is sent again after 100 s, 200 s, …, an hour: in six hours fewer times.
_MOST_SENDS = 14


class Hands(Simulation):
    """People change entries by SQL as they like, and MAX_ATTEMPTS is lowered and raised."""

    @rule(which=ENTRY, what=st.sampled_from(HANDS))
    def set_by_hand(self, which: int, what: str) -> None:
        self.world.set_by_hand(which, what)

    @precondition(lambda self: self.world.followed())
    @rule(which=NUMBER, what=st.sampled_from(HANDS))
    def set_running_by_hand(self, which: int, what: str) -> None:
        """The same, while its run goes on."""
        rows = self.world.sql("SELECT id FROM track_processing WHERE status = 'RUNNING' ORDER BY id")
        self.world.set_by_hand(rows[which % len(rows)][0], what)

    @rule(attempts=st.integers(1, MAX_ATTEMPTS))
    def limit_attempts(self, attempts: int) -> None:
        self.world.limit_attempts(attempts)

    @rule(which=ENTRY)
    def cancel_failed(self, which: int) -> None:
        if self.world.sql("SELECT 1 FROM track_processing WHERE id = ? AND status = 'FAILED'", which):
            self.world.ask_to_cancel(which)


class SilentSubmit(Simulation):
    """The submit function is disabled, or fails at each message, or the queue refuses every message."""

    @rule(submit_is=st.sampled_from(["disabled", "poisoned", "running"]), refuses=st.booleans())
    def silence(self, submit_is: Literal["disabled", "poisoned", "running"], refuses: bool) -> None:
        self.world.submit_is = submit_is
        self.world.queue.refuses = refuses

    @property
    def _is_silent(self) -> bool:
        return self.world.submit_is != "running" or self.world.queue.refuses

    def go_on_alone(self) -> None:
        """Messages grow rarer, and what nobody calls is named."""
        if self._is_silent:
            self._be_silent_for_hours()
        self.silence("running", refuses=False)
        self.world.pause = timedelta(seconds=1000)  # a message may have been sent an hour ago

    def _be_silent_for_hours(self) -> None:
        for _ in range(_PASSES):
            self.world.quiet_pass(end_runs=True)
        self._check_health()
        before = self.world.queue.taken.copy()
        self.world.pause = timedelta(seconds=900)
        for _ in range(24):
            self.world.quiet_pass(end_runs=True)
        sends = self.world.queue.taken - before
        assert all(number <= _MOST_SENDS for number in sends.values()), "a message is sent again and again"
        self._check_health()

    def _check_health(self) -> None:
        reasons = self.world.reasons()
        left = self.world.open_entries()
        assert reasons or not left, f"all is said to be well with {left}"
        if self.world.open_entries("status = 'QUEUED' AND deliveries = 0 AND postponements = 0"):
            assert any(Trouble.UNCALLED in reason for reason in reasons), reasons


class HangingWorkspace(Simulation):
    """The active runs of a second workspace are never listed."""

    others = ("eu",)

    @rule(hangs=st.booleans())
    def hang(self, hangs: bool) -> None:
        self.world.databricks.hanging = {"eu"} if hangs else set()

    @rule(table=st.sampled_from("uvw"))
    def insert_there(self, table: str) -> None:
        self.world.insert(table, workspace="eu")

    def go_on_alone(self) -> None:
        """The other workspace goes on at its own pace, and the one that hangs is named."""
        self.hang(hangs=True)
        self.insert_there("u")
        began = self.world.offset
        for _ in range(PASSES):
            self.world.claims.clear()
            self.world.quiet_pass(end_runs=True)
            assert self.world.claims.count("default") >= _ROUNDS, "the other workspace has to wait"
            # Runs that vanished together hold their slots for up to a day, as it must be.
            is_held = self.world.open_entries(VANISHED)
            left = [] if is_held else self.world.open_entries("workspace = 'default'")
            if not left and self.world.offset - began >= _SILENT:
                break
        assert not left, f"the other workspace stands still, too: {left}"
        reasons = self.world.reasons()
        assert any("workspace eu has not answered" in reason for reason in reasons), reasons
        self.hang(hangs=False)


class MovingClock(Simulation):
    """The database's clock jumps by hours, both ways."""

    @rule(hours=st.sampled_from([-7, -2, 1, 6]))
    def jump(self, hours: int) -> None:
        self.world.skew += timedelta(hours=hours)


class TwoHosts(Simulation):
    """A second app uses the same database, and its settings name another host."""

    hosts = ("https://a", "https://b")

    @rule()
    def second_trigger(self) -> None:
        self.world.start_trigger(1)

    @rule()
    def second_monitor(self) -> None:
        self.world.start_monitor(1)

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER, keep=st.booleans())
    def second_deliver(self, which: int, keep: bool) -> None:
        self.world.deliver(which, keep=keep, app=1)

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER, first=st.integers(0, 1))
    def repeat_elsewhere(self, which: int, first: int) -> None:
        """The answer to an app's call is lost, and the other app gets the message again."""
        self.world.scheduler.finish()
        for app in (first, 1 - first):
            self.world.databricks.next_run_is_lost = True
            self.world.deliver(which, keep=True, app=app)
            self.world.scheduler.finish()
        self.world.databricks.next_run_is_lost = False

    def go_on_alone(self) -> None:
        """One app waits for what the other one has begun, and names it."""
        for _ in range(_PASSES):
            self.world.quiet_pass(apps=1)
        self.world.check_that_elsewhere_is_named("https://a")


class MovedWorkspace(Simulation):
    """The workspace moves to another host, with its runs or without; the settings know of it at some time."""

    hosts = ("https://a",)

    def __init__(self) -> None:
        super().__init__()
        self.world.databricks.place = self._address = "https://a"

    @rule(keeps_runs=st.booleans(), is_known=st.booleans())
    def move(self, keeps_runs: bool, is_known: bool) -> None:
        place = "https://b" if self.world.databricks.place == "https://a" else "https://a"
        self.world.move_workspace(place, keeps_runs=keeps_runs)
        if is_known:
            self.set_address(right=True)

    @rule(right=st.booleans())
    def set_address(self, right: bool) -> None:
        place = self.world.databricks.place or ""
        self._address = place if right else {"https://a": "https://b"}.get(place, "https://a")
        self.world.set_address(self._address)

    @precondition(lambda self: self._address == self.world.databricks.place)
    @rule()
    def say_moved(self) -> None:
        """An operator has made sure of it, and says so."""
        self.world.operator.say_moved("default", self._address)

    def go_on_alone(self) -> None:
        """What is open at the address before is named until somebody says that the workspace has moved."""
        self.set_address(right=True)
        for _ in range(_PASSES):
            self.world.quiet_pass()
        self.world.check_that_elsewhere_is_named(self._address)
        self.say_moved()


ACTORS = (Hands, TwoHosts, MovedWorkspace, SilentSubmit, HangingWorkspace, MovingClock)
