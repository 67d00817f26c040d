"""Runs that vanish together: the workspace is doubted, not the runs, and none is started twice; over HTTP."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from orchestrator.core.states import Status
from tests.use_cases.answering import Answer, AnsweredWorld, answering, ended
from tests.world import policy

EMPTY: Answer = (200, {})
DAY = 86_400


def gone(run_id: int) -> Answer:
    return (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Run {run_id} does not exist."})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def begin(world: AnsweredWorld, count: int) -> list[int]:
    """Bring some entries to their runs, which are no longer new."""
    ids = await world.add(*(f"t{n}" for n in range(count)))
    await world.trigger()
    await world.deliver()
    world.database.pass_time(600)
    return ids


def vanish(world: AnsweredWorld, run_ids: Iterable[int]) -> None:
    """Have a replica answer that lacks these runs, which go on."""
    for run_id in run_ids:
        world.api.unlisted.add(run_id)
        world.api.answers |= {f"runs/get/{run_id}": gone(run_id), f"runs/cancel/{run_id}": gone(run_id)}


def come_back(world: AnsweredWorld) -> None:
    world.api.answers.clear()
    world.api.unlisted.clear()


async def passes(world: AnsweredWorld, minutes: float) -> list[str]:
    """Make a pass of each function a minute; return the problems of the last pass."""
    problems: list[str] = []
    for _ in range(round(minutes)):
        await world.next_pass(30)
        world.database.pass_time(30)
        problems = await world.monitor()
    return problems


async def states(world: AnsweredWorld, ids: list[int]) -> dict[str, int]:
    found = [(await world.entry(entry_id)).status.value for entry_id in ids]
    return {status: found.count(status) for status in sorted(set(found))}


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 40])
async def test_runs_that_vanish_together_are_not_started_again(world: AnsweredWorld, count: int) -> None:
    ids = await begin(world, count)
    vanish(world, world.api.runs)
    [problem] = await passes(world, 50)
    assert (
        f"workspace default: {count} runs do not exist, all at once, so the workspace is doubted" in problem
    )
    assert await states(world, ids) == {"RUNNING": count}
    noted = await world.entry(ids[0])
    assert noted.missing_since is not None
    assert (noted.last_error or "").startswith("its run vanished together with others: ")
    assert "Run 1000 does not exist" in (noted.last_error or "")
    come_back(world)
    assert await passes(world, 2) == []
    well = await world.entry(ids[0])
    assert (well.status, well.missing_since, well.last_error) == (Status.RUNNING, None, None)
    assert len(world.api.by_token) == count


async def test_newest_runs_that_a_replica_lacks_are_not_started_again(world: AnsweredWorld) -> None:
    ids = await begin(world, 20)
    vanish(world, range(1016, 1020))
    await passes(world, 50)
    assert await states(world, ids) == {"RUNNING": 20}


@pytest.mark.parametrize("count", [1, 2])
async def test_one_run_or_two_may_have_been_deleted(world: AnsweredWorld, count: int) -> None:
    ids = await begin(world, 10)
    vanish(world, range(1000, 1000 + count))
    await world.monitor()
    world.database.pass_time(60)
    await world.monitor()
    assert await states(world, ids) == {"FAILED": count, "RUNNING": 10 - count}


async def test_runs_begin_to_vanish_in_the_middle_of_a_pass(world: AnsweredWorld) -> None:
    ids = await begin(world, 20)
    vanish(world, [1000, 1001])
    await world.monitor()
    vanish(world, world.api.runs)
    await passes(world, 50)
    assert await states(world, ids) == {"RUNNING": 20}


async def test_last_run_that_is_missing_was_not_deleted_if_it_vanished_with_others(
    world: AnsweredWorld,
) -> None:
    ids = await begin(world, 5)
    vanish(world, world.api.runs)
    await world.monitor()
    come_back(world)
    vanish(world, [1000])
    await passes(world, 50)
    assert await states(world, ids) == {"RUNNING": 5}


async def test_new_runs_that_are_not_known_yet_put_the_verdict_off_and_no_more(world: AnsweredWorld) -> None:
    old = await begin(world, 2)
    new = await world.add(*(f"new{n}" for n in range(8)))
    await world.trigger()
    await world.deliver()
    vanish(world, world.api.runs)
    for _ in range(3):
        await world.monitor()
        world.database.pass_time(30)
    assert await states(world, old) == {"RUNNING": 2}
    come_back(world)
    vanish(world, [1000, 1001])
    await world.monitor()
    assert await states(world, old) == {"FAILED": 2}
    assert await states(world, new) == {"RUNNING": 8}


async def test_new_runs_that_stay_unknown_vanished_with_the_old_ones(world: AnsweredWorld) -> None:
    old = await begin(world, 2)
    new = await world.add(*(f"new{n}" for n in range(8)))
    await world.trigger()
    await world.deliver()
    vanish(world, world.api.runs)
    await passes(world, 50)
    assert await states(world, old + new) == {"RUNNING": 10}


async def test_runs_that_somebody_deleted_end_after_an_hour(world: AnsweredWorld) -> None:
    world.policy = policy(max_attempts=1)
    ids = await begin(world, 10)
    for run_id in range(1000, 1006):
        del world.api.runs[run_id]
    await passes(world, 58)
    assert await states(world, ids) == {"RUNNING": 10}
    await passes(world, 4)
    assert await states(world, ids) == {"DEAD": 6, "RUNNING": 4}
    [log] = await world.store.logs(ids[0])
    assert (log.life_cycle_state, log.runid) == ("NOT_FOUND", 1000)


async def test_all_runs_that_somebody_deleted_end_after_a_day(world: AnsweredWorld) -> None:
    world.policy = policy(max_attempts=1)
    ids = await begin(world, 6)
    world.api.runs.clear()
    await world.monitor()
    world.database.pass_time(DAY - 60)
    await world.monitor()
    assert await states(world, ids) == {"RUNNING": 6}
    world.database.pass_time(60)
    await world.monitor()
    assert await states(world, ids) == {"DEAD": 6}


async def test_a_new_run_that_can_be_read_ends_the_doubt(world: AnsweredWorld) -> None:
    ids = await begin(world, 6)
    world.api.runs.clear()
    await world.monitor()
    await world.add("other")
    await world.trigger()
    await world.deliver()
    await passes(world, 61)
    assert [(await world.store.logs(entry_id))[0].life_cycle_state for entry_id in ids] == ["NOT_FOUND"] * 6


async def test_vanished_run_without_a_list_is_noted_and_never_gone(world: AnsweredWorld) -> None:
    ids = await begin(world, 5)
    vanish(world, world.api.runs)
    world.api.answers["runs/list"] = (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "try again"})
    await world.monitor()
    world.database.pass_time(2 * DAY)
    await world.monitor()
    assert await states(world, ids) == {"RUNNING": 5}
    assert (await world.entry(ids[4])).missing_since is not None


async def test_vanished_run_is_cancelled_on_request(world: AnsweredWorld) -> None:
    ids = await begin(world, 3)
    vanish(world, world.api.runs)
    del world.api.answers["runs/cancel/1000"]
    await world.cancel(ids[0])
    await passes(world, 2)
    assert set(world.api.cancelled) == {1000}
    come_back(world)
    await passes(world, 1)
    assert await states(world, ids) == {"CANCELED": 1, "RUNNING": 2}


@pytest.mark.parametrize(
    "answer",
    [
        (403, {"error_code": "PERMISSION_DENIED", "message": "User does not have permission to view run"}),
        (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "try again"}),
        (200, {"run_id": 7}),
    ],
)
async def test_other_answers_meanwhile_do_not_end_the_doubt(world: AnsweredWorld, answer: Answer) -> None:
    ids = await begin(world, 5)
    vanish(world, world.api.runs)
    await passes(world, 3)
    missing = dict(world.api.answers)
    world.api.answers |= {f"runs/get/{run_id}": answer for run_id in range(1000, 1005)}
    await passes(world, 1)
    come_back(world)
    world.api.answers |= {each: missing[each] for each in ("runs/get/1000", "runs/get/1001")}
    world.api.unlisted |= {1000, 1001}
    await passes(world, 50)
    assert await states(world, ids) == {"RUNNING": 5}
    assert (await world.entry(ids[0])).vanished_at is not None
    assert len(world.api.by_token) == 5
    await passes(world, 15)
    [log] = await world.store.logs(ids[0])
    assert log.life_cycle_state == "NOT_FOUND", "believed after an hour"


async def test_run_that_is_back_is_doubted_until_it_was_read_for_an_hour(world: AnsweredWorld) -> None:
    ids = await begin(world, 5)
    vanish(world, world.api.runs)
    await passes(world, 3)
    come_back(world)
    await passes(world, 50)
    vanish(world, [1000])
    await passes(world, 20)
    assert await states(world, ids) == {"RUNNING": 5}
    come_back(world)
    await passes(world, 70)
    assert [(await world.entry(each)).vanished_at for each in ids] == [None] * 5
    vanish(world, [1000])
    await world.monitor()
    world.database.pass_time(60)
    await world.monitor()
    assert await states(world, ids) == {"FAILED": 1, "RUNNING": 4}


async def test_run_that_is_over_is_not_doubted(world: AnsweredWorld) -> None:
    [entry_id, *_] = await begin(world, 3)
    vanish(world, world.api.runs)
    await passes(world, 1)
    come_back(world)
    world.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    await passes(world, 1)
    over = await world.entry(entry_id)
    assert (over.status, over.vanished_at) == (Status.DONE, None)
