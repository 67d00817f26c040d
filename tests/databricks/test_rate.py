"""A workspace that is called too often: what it asks for is granted, by all callers together."""

import asyncio

import pytest

from orchestrator.core.errors import WorkspaceUnavailable
from tests.databricks.support import REQUEST, ManualClock, Workspace, connected, error, ok

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
            with pytest.raises(WorkspaceUnavailable):
                await client.run_now(REQUEST)
            clock.now += 100
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] > 20


async def test_an_accepted_call_ends_the_growth(workspace: Workspace) -> None:
    clock = ManualClock()
    refused = error(429, LIMITED)
    workspace.replies = [refused, refused, refused, ok({"run_id": 5}), refused, ok({"run_id": 6})]
    async with connected(workspace, clock=clock) as client:
        assert await client.run_now(REQUEST) == 5
        before = len(clock.slept)
        assert await client.run_now(REQUEST) == 6
    assert clock.slept[before] == clock.slept[0]
