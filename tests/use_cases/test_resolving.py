"""Operators restart what runs and settle by hand what the app cannot: what becomes of the run."""

import asyncio
import logging

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import RESTART, Resolution, resolve
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import Claim, Entry, LogRow, Run, RunRequest, Verdict
from orchestrator.core.states import Status
from tests.fakes import FakeRuns
from tests.use_cases.test_operator import operator
from tests.world import World


async def test_the_run_of_a_resolved_entry_is_left_alone(world: World) -> None:
    entry = await world.running()
    [behind] = await world.add("sales")
    action = resolve(Resolution.RELEASE, "the run belongs to a deleted user")
    settled, run_left = await operator(world).resolve_one(action, entry.id)
    assert (settled.status, run_left) == (Status.CANCELED, 1000)
    await world.monitor()
    await world.trigger()
    await world.deliver()
    assert world.databricks.cancelled == []
    assert (await world.entry(behind)).runid == 1001
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="TERMINATED", result_state="SUCCESS")
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.CANCELED
    assert [log.status for log in await world.store.logs(entry.id)] == [Status.CANCELED]


async def test_a_settled_entry_leaves_no_run(world: World) -> None:
    [entry_id] = await world.add("sales")
    _, run_left = await operator(world).resolve_one(resolve(Resolution.DONE, "not needed"), entry_id)
    assert run_left is None
    await world.trigger()
    assert world.queue.sent == []


async def test_a_run_that_begins_after_its_entry_was_resolved_is_cancelled(world: World) -> None:
    """The answer to run-now was on its way while the operator decided: nobody would follow this run."""
    [entry_id] = await world.add("sales")
    await world.trigger()
    called, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeRuns):
        async def run_now(self, request: RunRequest) -> int:
            called.set()
            await go_on.wait()
            return await super().run_now(request)

    slow = Slow()
    world.runs = {**world.runs, "default": slow}
    submission = asyncio.create_task(world.submit(Claim(entry_id=entry_id, submission=1)))
    await called.wait()
    await operator(world).resolve_one(resolve(Resolution.DONE, "loaded by hand"), entry_id)
    go_on.set()
    await submission
    assert (slow.cancelled, (await world.entry(entry_id)).status) == ([1000], Status.DONE)


async def test_a_resolution_is_logged_in_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first, second = await world.add("a", "b")
    reason = "first\nERROR forged\x1b[2J\u2028line \ud800" + "x" * 5000
    with caplog.at_level(logging.INFO):
        await operator(world).change_each(resolve(Resolution.FAILED, reason), [first, second], dry_run=False)
    [line] = [record.getMessage() for record in caplog.records if "by hand" in record.getMessage()]
    assert line.isprintable()
    assert line.startswith("resolved by hand: first ERROR forged [2J line x")
    assert line.endswith(f"x, now DEAD: entries [{first}, {second}]")
    assert len(line) < 1100


async def test_a_restarted_entry_runs_again_when_its_run_is_over(world: World) -> None:
    entry = await world.running()
    [changed] = [await operator(world).change_one(RESTART, entry.id)]
    assert (changed.status, changed.stop_reason) == (Status.RUNNING, "RESTART")
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    await world.monitor()
    await world.trigger()
    await world.deliver()
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.stop_reason) == (Status.RUNNING, 1001, None)
    assert [log.runid for log in await world.store.logs(entry.id)] == [1000]


async def test_resolution_of_an_entry_that_is_over_does_not_log_its_run_again(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    action = resolve(Resolution.FAILED, "cannot be loaded")
    assert await Operations(world.store.pool).change(action, [entry.id]) == [entry.id]
    logs = await world.store.logs(entry.id)
    assert [(log.runid, log.status) for log in logs] == [(1000, Status.FAILED), (None, Status.DEAD)]


async def test_restart_is_not_lost_when_the_run_ends_meanwhile(world: World) -> None:
    entry = await world.running()  # a pass has read the entry, and that its run is over
    assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    log = LogRow(entry_id=entry.id, submission=1, attempt=1, status=Status.DONE, runid=1000)
    assert not await world.store.finish(entry, Verdict(to=Status.DONE, error=None), log)
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.PENDING


async def let_go(world: World, state: str = "RUNNING") -> Entry:
    """Return an entry whose live run an operator has let go, and that is run again.

    :param state: of the run; the list of active runs lacks those that are BLOCKED.
    """
    entry = await world.running()
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state=state)
    action = resolve(Resolution.FAILED, "its run cannot be read")
    assert await Operations(world.store.pool).change(action, [entry.id]) == [entry.id]
    assert await world.retry(entry.id)
    await world.trigger()
    return await world.entry(entry.id)


async def test_retry_of_a_resolved_entry_waits_for_the_run_that_was_let_go(world: World) -> None:
    """It takes no slot meanwhile, and its table stays free."""
    entry = await let_go(world)
    assert entry.status is Status.PENDING
    other = await world.running(entry.table_name)
    assert world.databricks.cancelled == []
    world.databricks.end(1000, "SUCCESS")
    world.databricks.end(other.runid or 0, "SUCCESS")
    await world.trigger()
    await world.deliver()
    again = await world.entry(entry.id)
    assert (again.status, again.runid) == (Status.RUNNING, 1002), "its success does not count any more"


async def test_run_that_was_let_go_and_is_not_listed_is_looked_at_before_another_begins(world: World) -> None:
    entry = await let_go(world, "BLOCKED")
    [claim] = await world.deliver()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.deliveries, waiting.postponements) == (Status.QUEUED, 0, 1)
    assert (waiting.last_error or "").startswith("run 1000, which a resolution has let go, is still active")
    assert "retry it with --restart" in (waiting.last_error or "")
    world.databricks.end(1000, "SUCCESS")
    await world.submit(claim)
    assert (await world.entry(entry.id)).runid == 1001


@pytest.mark.parametrize("state", ["RUNNING", "BLOCKED"])
async def test_restart_of_a_resolved_entry_cancels_the_run_that_was_let_go(world: World, state: str) -> None:
    entry = await let_go(world, state)
    await world.deliver()
    await world.cancel(entry.id)
    await world.monitor()
    assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    await world.trigger()
    [claim] = await world.deliver()
    assert world.databricks.cancelled == [1000]
    assert "it is being cancelled" in ((await world.entry(entry.id)).last_error or "")
    await world.submit(claim)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.stop_reason) == (Status.RUNNING, 1001, None)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert world.databricks.cancelled == [1000], "the restart is over"


async def test_run_that_was_let_go_and_seen_active_is_waited_for_when_it_cannot_be_read(world: World) -> None:
    entry = await let_go(world, "BLOCKED")
    [claim] = await world.deliver()
    denied = WorkspaceUnavailable("You may not view run 1000", status=403)
    denied.answered = True
    for _ in range(8):
        world.databricks.errors = [denied]
        await world.submit(claim)
    waiting = await world.entry(entry.id)
    assert (waiting.status, list(world.databricks.runs)) == (Status.QUEUED, [1000])
    assert (waiting.last_error or "").endswith("was active, and now: You may not view run 1000")


async def test_repaired_run_is_looked_at_after_a_resolution_without_it(world: World) -> None:
    """The entry was over when it was resolved, so only its earlier log row names the run."""
    entry = await world.running()
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    action = resolve(Resolution.FAILED, "cannot be loaded")
    assert await Operations(world.store.pool).change(action, [entry.id]) == [entry.id]
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="BLOCKED", latest_repair_id=1)
    assert await world.retry(entry.id)
    world.database.pass_time(1)
    [claim] = [Claim(entry_id=entry.id, submission=3)]
    await world.trigger()
    await world.deliver()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.submission) == (Status.QUEUED, 3)
    world.databricks.end(1000, "FAILED")
    await world.submit(claim)
    assert (await world.entry(entry.id)).runid == 1001
