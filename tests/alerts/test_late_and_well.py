"""Each late or recovered event is reported once, in whatever order passes begin and end."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from tests.alerts.conftest import LATE_SECONDS, Desk, Pass

NIGHT_SECONDS = 12 * 3600


def titles(desk: Desk) -> list[str]:
    return [message["title"] for message in desk.receiver.taken]


async def test_late_and_recovered(desk: Desk) -> None:
    for name in ("trigger", "monitor"):
        await desk.make_pass(name)
    for _ in range(4):
        desk.pass_time(LATE_SECONDS / 2)
        await desk.make_pass("monitor")
    assert [message["title"] for message in desk.receiver.taken] == ["trigger: late"]
    await desk.make_pass("trigger")
    await desk.make_pass("monitor")
    desk.pass_time(LATE_SECONDS / 2)
    await desk.make_pass("monitor")
    assert [message["title"] for message in desk.receiver.taken] == ["trigger: late", "trigger: recovered"]
    desk.pass_time(LATE_SECONDS / 2)
    await desk.make_pass("monitor")
    assert [message["title"] for message in desk.receiver.taken][2:] == ["trigger: late"]


async def test_function_that_recovers_before_its_late_alert_is_delivered(desk: Desk) -> None:
    for name in ("monitor", "trigger"):
        await desk.make_pass(name)
    desk.pass_time(LATE_SECONDS / 2)
    await desk.make_pass("trigger")
    desk.pass_time(LATE_SECONDS / 2)
    desk.receiver.answers = [404]
    await desk.make_pass("trigger")
    assert (desk.receiver.calls, titles(desk)) == (1, [])
    await desk.make_pass("monitor")
    await desk.make_pass("trigger")
    assert titles(desk) == ["monitor: recovered"], "it says since when it had not begun"


async def test_function_that_never_ran_is_not_late(desk: Desk) -> None:
    await desk.make_pass("monitor")
    desk.pass_time(NIGHT_SECONDS)
    await desk.make_pass("trigger")
    assert titles(desk) == [], "a first pass does not know how long the app has stood still"
    await desk.make_pass("monitor")
    assert titles(desk) == ["monitor: recovered"]


async def test_app_that_was_stopped_for_a_night(desk: Desk) -> None:
    await desk.make_pass("monitor")
    await desk.make_pass("trigger")
    desk.pass_time(NIGHT_SECONDS)
    await desk.make_pass("monitor")
    await desk.make_pass("trigger")
    for _ in range(2):
        await desk.make_pass("monitor")
        await desk.make_pass("trigger")
    assert titles(desk) == ["monitor: recovered", "trigger: recovered"]
    assert "monitor: has started again; it had not started since 20" in desk.receiver.taken[0]["text"]


@pytest.mark.parametrize("ends_first", [0, 1, None])
async def test_both_functions_come_back_at_once(desk: Desk, ends_first: int | None) -> None:
    other = Store(Pool(desk.connector))
    await desk.make_pass("monitor")
    await desk.make_pass("trigger")
    desk.pass_time(NIGHT_SECONDS)
    passes = [await desk.begin("monitor"), await desk.begin("trigger", other)]
    if ends_first is None:
        await asyncio.gather(*(each.end() for each in passes))
    else:
        await passes[ends_first].end()
        await passes[1 - ends_first].end()
    await other.pool.close()
    reported = desk.receiver.reported_passes("well")
    assert sorted((name, count) for (name, _), count in reported.items()) == [("monitor", 1), ("trigger", 1)]
    if ends_first == 0:
        assert titles(desk) == ["monitor and trigger: recovered"]


async def test_one_of_two_comes_back(desk: Desk) -> None:
    await desk.make_pass("monitor")
    await desk.make_pass("trigger")
    desk.pass_time(NIGHT_SECONDS)
    for _ in range(3):
        await desk.make_pass("monitor")
        desk.pass_time(60)
    assert titles(desk) == ["monitor: recovered", "trigger: late"]
    await desk.make_pass("trigger")
    await desk.make_pass("monitor")
    assert titles(desk)[2:] == ["trigger: recovered"]


async def test_stop_after_one_function_was_reported_late(desk: Desk) -> None:
    await desk.make_pass("trigger")
    for _ in range(2):
        desk.pass_time(LATE_SECONDS / 2)
        await desk.make_pass("monitor")
    desk.pass_time(LATE_SECONDS / 2)
    await desk.make_pass("monitor")
    assert titles(desk) == ["trigger: late"]
    desk.pass_time(NIGHT_SECONDS)
    for name in ("trigger", "monitor", "trigger"):
        await desk.make_pass(name)
    assert titles(desk)[1:] == ["trigger: recovered", "monitor: recovered"]


async def test_refused_alert_about_a_stop_is_sent_by_a_later_pass(desk: Desk) -> None:
    await desk.make_pass("monitor")
    desk.pass_time(NIGHT_SECONDS)
    desk.receiver.answers = [503, 404]
    for _ in range(4):
        await desk.make_pass("monitor")
    assert titles(desk) == ["monitor: recovered"]


async def test_function_that_recovers_during_a_slow_pass_is_not_late(desk: Desk) -> None:
    for name in ("trigger", "monitor"):
        await desk.make_pass(name)
    desk.pass_time(LATE_SECONDS / 2)
    await desk.make_pass("monitor")
    desk.pass_time(LATE_SECONDS / 2)
    slow = await desk.begin("monitor")
    await desk.make_pass("trigger")
    await slow.end()
    assert titles(desk) == ["trigger: recovered"]


@dataclass
class App:
    """Two timer functions whose passes advance step by step, in any order."""

    desk: Desk
    passes: dict[str, Pass] = field(default_factory=dict)
    #: each late start, with the start before it
    gaps: set[tuple[str, str]] = field(default_factory=set)

    async def step(self, name: str) -> None:
        """Begin a pass of a function, or end the one in progress."""
        under_way = self.passes.pop(name, None)
        if under_way is not None:
            await under_way.end()
            return
        self.passes[name] = begun = await self.desk.begin(name)
        passes, now = begun.before
        self.gaps |= {
            (name, _iso(last_pass.started_at))
            for last_pass in passes
            if last_pass.name == name and (now - last_pass.started_at).total_seconds() >= LATE_SECONDS
        }

    async def finish_passes(self) -> None:
        """End the passes in progress and make one more pass of each function."""
        for name in list(self.passes):
            await self.step(name)
        for name in ("monitor", "trigger"):
            await self.desk.make_pass(name)


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["monitor", "trigger"]),
        st.sampled_from([0.0, LATE_SECONDS / 2, LATE_SECONDS, NIGHT_SECONDS]),
        st.sampled_from([200, 404, 503, 500, "drop"]),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_every_gap_is_reported_once(desk: Desk, steps: list[tuple[str, float, int | str]]) -> None:
    """In any order of passes and for any responses of the receiver."""
    desk.execute("DELETE FROM orchestrator_alert")
    desk.execute("DELETE FROM orchestrator_tick")
    desk.receiver.taken, desk.receiver.doubtful = [], []
    app = App(desk)
    for name, seconds, answer in steps:
        desk.pass_time(seconds)
        desk.receiver.answers = [answer, answer]
        await app.step(name)
    desk.receiver.answers = []
    await app.finish_passes()
    late, well = desk.receiver.reported_passes("late"), desk.receiver.reported_passes("well")
    assert {*late.values(), *well.values()} <= {1}, "never twice"
    assert app.gaps | late.keys() <= well.keys(), "never not at all"
    assert_late_comes_before_recovered(desk)


def assert_late_comes_before_recovered(desk: Desk) -> None:
    called_well: set[tuple[str, str]] = set()
    for message in desk.receiver.taken:
        events = {(last_pass["name"], last_pass["since"]) for last_pass in message["passes"]}
        if message["kind"] == "well":
            called_well |= events
        else:
            assert not events & called_well
