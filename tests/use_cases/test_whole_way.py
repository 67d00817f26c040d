"""Trigger, submit and monitor together: an entry from its insert to its final state."""

from orchestrator.core.models import Claim
from orchestrator.core.states import Status
from tests.world import World


async def test_an_entry_from_insert_to_done(world: World) -> None:
    [entry_id] = await world.add("sales")
    assert await world.trigger() == []
    assert world.queue.sent == [Claim(entry_id=entry_id, submission=1)]
    await world.deliver()
    [request] = world.databricks.requests
    assert (request.job_id, request.parameters) == (5, {"table_name": "sales"})
    assert await world.monitor() == []
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid) == (Status.RUNNING, 1000)
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.DONE


async def test_failed_run_is_retried_until_its_attempts_are_spent(world: World) -> None:
    [entry_id] = await world.add("sales")
    for attempt in (1, 2, 3):
        await world.trigger()
        await world.deliver()
        entry = await world.entry(entry_id)
        assert (entry.status, entry.attempt, entry.submission) == (Status.RUNNING, attempt, attempt)
        world.databricks.end(entry.runid or 0, "FAILED")
        await world.monitor()
        world.database.pass_time(3600)
    dead = await world.entry(entry_id)
    assert (dead.status, dead.last_error) == (Status.DEAD, "FAILED: task of 1002 failed")
    logs = await world.store.logs(entry_id)
    assert [log.status for log in logs] == [Status.FAILED, Status.FAILED, Status.DEAD]
    assert len({log.runid for log in logs}) == 3
    assert logs[0].error_trace == "Traceback …"


async def test_skipped_run_spends_no_attempt(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "MAXIMUM_CONCURRENT_RUNS_REACHED", "SKIPPED")
    await world.monitor()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.attempt) == (Status.PENDING, 0)
    world.database.pass_time(76)  # a minute, give or take a quarter
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry.id)).runid == 1001  # a new token, so a new run
