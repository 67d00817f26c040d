"""A workspace that is called too often: what it asks for is granted, by all callers together."""

import asyncio

import pytest
from aiohttp import web

from orchestrator.adapters.databricks.rate import Pace, RateGate
from orchestrator.core.errors import WorkspaceUnavailable
from tests.databricks.support import REQUEST, ManualClock, Workspace, connected, drop, error, ok

LIMITED = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "too many requests"}


async def test_a_long_wait_is_left_to_the_caller(workspace: Workspace) -> None:
    clock = ManualClock()
    workspace.replies = [error(429, LIMITED, Retry_After="120")]
    async with connected(workspace, clock=clock) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.run_now(REQUEST)
    assert (caught.value.retry_after, caught.value.in_doubt) == (120, False)
    assert clock.slept == []
    assert len(workspace.seen) == 1


async def test_other_calls_of_the_endpoint_are_not_even_sent(workspace: Workspace) -> None:
    clock = ManualClock()
    workspace.replies = [error(429, LIMITED, Retry_After="120"), ok({"run_id": 5})]
    async with connected(workspace, clock=clock) as client:
        for _ in range(10):
            with pytest.raises(WorkspaceUnavailable, match="run-now"):
                await client.run_now(REQUEST)
        assert len(workspace.seen) == 1
        clock.now += 121
        assert await client.run_now(REQUEST) == 5


async def test_monitoring_goes_on_while_submissions_wait(workspace: Workspace) -> None:
    workspace.replies = [error(429, LIMITED, Retry_After="120"), ok({})]
    async with connected(workspace, clock=ManualClock()) as client:
        with pytest.raises(WorkspaceUnavailable):
            await client.run_now(REQUEST)
        assert await client.active_runs() == ()


async def test_callers_at_the_same_time_wait_together(workspace: Workspace) -> None:
    """The first refusal makes all of them wait, so there is one refused call and not ten."""
    clock = ManualClock()
    workspace.replies = [error(429, LIMITED, Retry_After="7"), ok({"run_id": 5})]
    async with connected(workspace, clock=clock) as client:
        first = asyncio.create_task(client.run_now(REQUEST))
        await clock.sleeping.wait()
        assert await asyncio.gather(first, *(client.run_now(REQUEST) for _ in range(9))) == [5] * 10
    assert len(workspace.seen) == 11


async def test_without_a_time_the_pauses_grow_from_call_to_call(workspace: Workspace) -> None:
    clock = ManualClock()
    workspace.replies = [error(429, LIMITED)]
    async with connected(workspace, clock=clock) as client:
        for _ in range(3):
            with pytest.raises(WorkspaceUnavailable) as caught:
                await client.run_now(REQUEST)
            clock.now += 100
    assert clock.slept == pytest.approx([0.75, 1.25, 2.25, 8.8, 17.6])
    assert caught.value.retry_after == 60


async def test_an_accepted_call_ends_the_growth(workspace: Workspace) -> None:
    clock = ManualClock()
    refused = error(429, LIMITED)
    workspace.replies = [refused, refused, refused, ok({"run_id": 5}), refused, ok({"run_id": 6})]
    async with connected(workspace, clock=clock) as client:
        assert await client.run_now(REQUEST) == 5
        before = len(clock.slept)
        assert await client.run_now(REQUEST) == 6
    assert clock.slept[before] == clock.slept[0]


async def test_calls_refused_at_the_same_time_count_once(workspace: Workspace) -> None:
    """Ten calls that were under way say the same thing: the pause grows once."""
    clock = ManualClock()
    arrived = asyncio.Barrier(10)

    async def together(request: web.Request) -> web.StreamResponse:
        await arrived.wait()
        return await error(429, LIMITED)(request)

    workspace.replies = [*[together] * 10, ok({"run_id": 5})]
    async with connected(workspace, clock=clock) as client:
        assert await asyncio.gather(*(client.run_now(REQUEST) for _ in range(10))) == [5] * 10
    assert len(workspace.seen) == 20
    assert max(clock.slept) < 2


async def test_those_who_waited_do_not_call_at_the_same_moment() -> None:
    jitters = iter([0.0, 0.25, 0.5, 0.75])

    class Clock(ManualClock):
        def jitter(self) -> float:
            return next(jitters)

    gate = RateGate(Clock())
    gate.close(WorkspaceUnavailable("429"), retry_after=100.0, closed=0)
    assert [gate.pause() for _ in range(4)] == pytest.approx([100.0, 105.0, 110.0, 115.0])


async def test_a_call_that_is_held_back_says_what_the_workspace_said(workspace: Workspace) -> None:
    workspace.replies = [error(429, LIMITED, Retry_After="120")]
    async with connected(workspace, clock=ManualClock()) as client:
        for _ in range(2):
            with pytest.raises(WorkspaceUnavailable, match=r"HTTP 429 .*too many requests") as caught:
                await client.run_now(REQUEST)
    held_back = caught.value
    assert (held_back.status, held_back.error_code) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert (held_back.retry_after, held_back.in_doubt, held_back.answered) == (120, False, False)


async def test_refusals_for_as_long_as_one_waits_leave_nothing_in_doubt(workspace: Workspace) -> None:
    """The waits of one request together stay below the operation's time, which would end it as in doubt."""
    clock = ManualClock()
    workspace.replies = [error(429, LIMITED, Retry_After="30")]
    async with connected(workspace, clock=clock) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.run_now(REQUEST)
    assert (caught.value.retry_after, caught.value.in_doubt) == (30, False)
    assert clock.slept == [pytest.approx(33)]


async def test_a_long_wait_after_a_lost_answer_stays_in_doubt(workspace: Workspace) -> None:
    workspace.replies = [drop, error(429, LIMITED, Retry_After="120")]
    async with connected(workspace, clock=ManualClock()) as client:
        for in_doubt in (True, False):
            with pytest.raises(WorkspaceUnavailable) as caught:
                await client.run_now(REQUEST)
            assert (caught.value.retry_after, caught.value.in_doubt) == (120, in_doubt)


async def test_a_workspace_that_asks_for_a_wait_with_503_gets_it(workspace: Workspace) -> None:
    clock = ManualClock()
    workspace.replies = [error(503, {}, Retry_After="20"), error(503, {}, Retry_After="600")]
    async with connected(workspace, clock=clock) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.run_now(REQUEST)
    assert (caught.value.retry_after, caught.value.in_doubt) == (600, True)
    assert clock.slept == [pytest.approx(20.25)]


async def test_nobody_is_held_back_for_more_than_an_hour(workspace: Workspace) -> None:
    workspace.replies = [error(429, LIMITED, Retry_After="86400")]
    async with connected(workspace, clock=ManualClock()) as client:
        with pytest.raises(WorkspaceUnavailable) as caught:
            await client.run_now(REQUEST)
    assert caught.value.retry_after == 3600


def test_of_calls_refused_together_the_longest_wait_counts() -> None:
    clock, refusal = ManualClock(), WorkspaceUnavailable("too many requests", status=429)
    gate = RateGate(clock)
    for seconds in (1.0, 30.0, 7.0):
        gate.close(refusal, retry_after=seconds, closed=0)
    assert gate.left() == 30


def test_a_refusal_that_comes_late_leaves_the_pause_as_it_is() -> None:
    """The call was made before the last refusal, so it says nothing new."""
    clock, refusal = ManualClock(), WorkspaceUnavailable("too many requests", status=429)
    gate = RateGate(clock)
    gate.close(refusal, retry_after=None, closed=gate.closed)
    before = gate.closed
    gate.close(refusal, retry_after=None, closed=before)
    assert gate.left() == 1.0
    clock.now += 0.5
    gate.close(refusal, retry_after=None, closed=before)
    assert gate.left() == 0.5


def test_nobody_is_spaced_before_the_first_refusal() -> None:
    pace = Pace()
    assert [pace.turn(7.0) for _ in range(100)] == [0.0] * 100


def test_calls_are_spaced_after_a_refusal() -> None:
    pace = Pace()
    pace.refused()
    assert pace.turn(0.0) == pace.turn(0.0) == 0.0  # one that came late is made up for
    wait = pace.turn(0.0)
    assert wait == pytest.approx(1 / pace.rate())
    assert pace.turn(wait / 2) == pytest.approx(wait / 2)
    assert pace.turn(wait) == 0.0


def used(pace: Pace, *, begin: float, seconds: int) -> None:
    """Make a call a second."""
    for second in range(seconds):
        assert pace.turn(begin + second) == 0.0


def test_the_rate_stays_below_what_was_refused_for_a_minute_of_use() -> None:
    pace = Pace()
    pace.refused()
    used(pace, begin=0.0, seconds=10)
    pace.refused()
    pace.refused()  # from here on it is known what was refused
    first = pace.rate()
    used(pace, begin=100.0, seconds=55)
    near = pace.rate()
    used(pace, begin=155.0, seconds=30)
    refused = first / 0.8
    assert first < 0.999 * near < near < refused < pace.rate()


def test_a_night_without_calls_teaches_nothing() -> None:
    pace = Pace()
    pace.refused()
    used(pace, begin=0.0, seconds=5)
    before = pace.rate()
    assert pace.turn(40_000.0) == 0.0
    assert pace.rate() == pytest.approx(before * 1.2, rel=0.01)


def test_an_endpoint_that_refuses_nothing_any_more_is_not_spaced_for_ever() -> None:
    pace = Pace()
    pace.refused()
    used(pace, begin=0.0, seconds=60)
    assert pace.rate() == float("inf")


def test_calls_refused_at_the_same_time_lower_the_rate_once() -> None:
    clock, refusal = ManualClock(), WorkspaceUnavailable("too many requests", status=429)
    gate = RateGate(clock)
    for _ in range(10):
        gate.close(refusal, retry_after=1.0, closed=0)
    clock.now += 1.0
    assert gate.turn() == gate.turn() == 0.0
    assert gate.turn() == pytest.approx(1.0, rel=0.2)


def test_an_outage_that_answers_429_leaves_no_pace_that_never_recovers() -> None:
    pace = Pace()
    for _ in range(100):
        pace.refused()
    assert pace.rate() >= 1
    used(pace, begin=0.0, seconds=15)
    assert pace.rate() > 10
