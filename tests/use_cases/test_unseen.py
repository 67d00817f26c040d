"""Messages that nobody looks at, and passes that always meet a problem: people are told of both."""

import pytest

from orchestrator.adapters.store.passes import PassLog
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.health import Trouble
from orchestrator.core.models import Claim
from orchestrator.core.states import Status
from tests.use_cases.test_overview import make_passes, overview
from tests.world import World, policy

MINUTE = 60.0


async def reasons(world: World) -> list[str]:
    await make_passes(world)
    return (await overview(world).health()).reasons


async def test_messages_that_nobody_takes_are_sent_ever_less_often(world: World) -> None:
    await world.add("sales")
    await world.trigger()
    sent = []
    for minute in range(1, 24 * 60):
        world.database.pass_time(MINUTE)
        world.queue.sent.clear()
        await world.monitor()
        sent += [minute] * len(world.queue.sent)
    assert sent[:5] == [15, 30, 60, 120, 180]
    assert len(sent) == 2 + 23
    assert (await world.entry(1)).resends == len(sent)


async def test_a_short_lease_doubles_up_to_an_hour(world: World) -> None:
    world.policy = policy(submit_lease_seconds=60)
    await world.add("sales")
    world.database.stop_clock()
    await world.trigger()
    sent = []
    for minute in range(1, 300):
        world.database.pass_time(MINUTE)
        world.queue.sent.clear()
        await world.monitor()
        sent += [minute] * len(world.queue.sent)
    assert sent == [1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 288]


async def test_a_message_that_is_looked_at_begins_anew(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    for _ in range(3):
        world.queue.sent.clear()
        world.database.pass_time(3601)
        await world.monitor()
    assert (await world.entry(entry_id)).resends == 3
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.resends) == (Status.RUNNING, 0)


async def test_entries_that_nobody_looks_at_are_named_after_two_leases(world: World) -> None:
    ids = await world.add(*(f"t{n}" for n in range(5)))
    await world.trigger()
    world.database.pass_time(1790)
    assert await reasons(world) == []
    world.database.pass_time(20)
    [reason] = await reasons(world)
    since = (await world.entry(ids[0])).claimed_at
    assert reason == (
        "workspace default: QUEUED for longer than two leases, and the submit function has not looked at it: "
        f"5 entries, for example entry {ids[0]} since {since:%Y-%m-%d %H:%M:%S} UTC"
    )


async def test_a_queue_that_takes_nothing_is_asked_ever_less_often_and_named(world: World) -> None:
    [entry_id] = await world.add("sales")
    world.database.stop_clock()
    world.queue.full = True
    asked = []
    assert await world.trigger() == ["queue: 1 of 1 messages were not taken; the next pass sends them again"]
    for half in range(1, 120):
        world.database.pass_time(MINUTE / 2)
        asked += [half] * len(await world.monitor())
    assert asked[:6] == [1, 2, 4, 8, 16, 24]
    [reason] = await reasons(world)
    assert "the submit function has not looked at it: 1 entry" in reason
    assert "the queue did not take the message" in reason
    world.queue.full = False
    world.database.pass_time(4 * MINUTE)
    await world.monitor()
    assert world.queue.sent == [Claim(entry_id=entry_id, submission=1)]


@pytest.mark.parametrize("name", ["trigger", "monitor"])
async def test_passes_that_always_meet_a_problem_are_a_reason(world: World, name: str) -> None:
    """The problems may differ, and one pass without any ends it."""
    log = PassLog(world.store.pool)
    await make_passes(world)
    began = await world.store.now()
    await log.pass_finished(name, "a run is not yours", ok=False)
    for minutes in (30, 31):
        assert (await overview(world).health()).reasons == []
        world.database.pass_time(minutes * MINUTE)
        for each in ("trigger", "monitor"):
            await log.pass_started(each)
            if each != name:
                await log.pass_finished(each, "ok")
        await log.pass_finished(name, f"{minutes} runs are not yours", ok=False)
    [reason] = (await overview(world).health()).reasons
    assert reason.startswith(f"every pass of {name} has met a problem since {began:%Y-%m-%d %H:}")
    assert reason.endswith("UTC: 31 runs are not yours")
    await log.pass_failed(name, "not done in time")
    [reason] = (await overview(world).health()).reasons
    assert reason.endswith("UTC: not done in time")
    await log.pass_finished(name, "ok")
    assert (await overview(world).health()).reasons == []


async def test_an_entry_that_was_queued_by_sql_is_named_though_its_calls_go_on(world: World) -> None:
    await world.add("sales")
    world.database.execute("UPDATE track_processing SET status = 'QUEUED', submission = 1")
    world.databricks.down = WorkspaceUnavailable("try again", status=503)
    for _ in range(7):
        await world.monitor()
        await world.deliver()
        world.database.pass_time(300)
    assert [reason for reason in await reasons(world) if Trouble.LONG_QUEUED in reason]
