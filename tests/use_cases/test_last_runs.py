"""A last run that Databricks does not show, over HTTP: none begins beside it, and none waits for ever."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, UNAVAILABLE, Answer, AnsweredWorld, answering, ended, goes_on

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS)
DENIED: Answer = (403, {"error_code": "PERMISSION_DENIED", "message": "You may not view run 1000"})
FAILURES = pytest.mark.parametrize(
    "answer",
    [DENIED, (403, {"message": "Forbidden"}), (400, {"error_code": "NEW", "message": "quux"}), UNAVAILABLE],
    ids=["denied", "forbidden", "not understood", "unavailable"],
)

#: Waits are not longer.
WAIT = 310.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def let_go(world: AnsweredWorld) -> int:
    """Return an entry whose live run an operator has let go, claimed while the list lacks that run."""
    entry = await world.running()
    action = resolve(Resolution.FAILED, "it hangs")
    assert await Operations(world.store.pool).change(action, [entry.id]) == [entry.id]
    assert await world.retry(entry.id)
    world.api.unlisted = {1000}
    await world.trigger()
    world.api.unlisted = set()
    return entry.id


async def failed(world: AnsweredWorld, **fields: Any) -> int:
    """Return an entry whose run has failed, and that is claimed again."""
    entry = await world.running(**fields)
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.database.pass_time(3700)
    await world.trigger()
    return entry.id


async def deliver(world: AnsweredWorld, times: int) -> None:
    """Deliver the entry's message again and again, as passes do after each wait."""
    for _ in range(times):
        await world.deliver()
        world.clock.time += WAIT
        world.database.pass_time(WAIT)
        await world.monitor()


@FAILURES
async def test_run_that_was_let_go_and_is_not_shown_is_waited_for_while_it_is_listed(
    world: AnsweredWorld, answer: Answer
) -> None:
    entry_id = await let_go(world)
    world.api.answers["runs/get"] = answer
    await deliver(world, 12)
    waiting = await world.entry(entry_id)
    assert (waiting.status, list(world.api.runs)) == (Status.QUEUED, [1000])
    assert (waiting.last_error or "").startswith("run 1000, which a resolution has let go,")


@FAILURES
async def test_run_that_was_let_go_and_is_neither_shown_nor_listed_does_not_stop_the_retry(
    world: AnsweredWorld, answer: Answer
) -> None:
    entry_id = await let_go(world)
    world.api.answers["runs/get"] = answer
    await deliver(world, 3)
    assert list(world.api.runs) == [1000], "said three times within ten minutes"
    world.api.runs[1000] = ended("SUCCESS", "SUCCESS", result="SUCCESS")
    await deliver(world, 6)
    assert (await world.entry(entry_id)).runid == 1001


async def test_run_that_was_let_go_is_waited_for_while_nothing_can_be_known(world: AnsweredWorld) -> None:
    entry_id = await let_go(world)
    world.api.answers |= {"runs/get": DENIED, "runs/list": DENIED}
    await deliver(world, 12)
    assert (await world.entry(entry_id)).status is Status.QUEUED
    assert list(world.api.runs) == [1000]


@FAILURES
async def test_run_that_a_person_repaired_and_that_is_not_shown_is_followed(
    world: AnsweredWorld, answer: Answer
) -> None:
    entry_id = await failed(world)
    world.api.runs[1000] = goes_on(repair_history=[{"id": 5, "start_time": START_MS + 1}])
    world.api.answers["runs/get"] = answer
    await deliver(world, 1)
    assert ((await world.entry(entry_id)).status, list(world.api.runs)) == (Status.QUEUED, [1000])
    await deliver(world, 8)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, list(world.api.runs)) == (Status.RUNNING, 1000, [1000])


@FAILURES
async def test_run_that_was_over_and_is_not_shown_any_more_gives_way(
    world: AnsweredWorld, answer: Answer
) -> None:
    entry_id = await failed(world)
    world.api.answers |= {"runs/get": answer, "runs/list": answer}
    await deliver(world, 1)
    assert (await world.entry(entry_id)).status is Status.QUEUED
    await deliver(world, 8)
    assert (await world.entry(entry_id)).runid == 1001


async def test_deliveries_in_one_moment_are_no_patience(world: AnsweredWorld) -> None:
    entry_id = await failed(world)
    world.api.answers |= {"runs/get": DENIED, "runs/list": DENIED}
    [claim] = world.queue.sent
    for _ in range(12):
        await world.submit(claim)
    assert (await world.entry(entry_id)).status is Status.QUEUED


@pytest.mark.parametrize(
    "answer", [(500, {"error_code": "INTERNAL_ERROR", "message": "null"}), DENIED, UNAVAILABLE]
)
async def test_missing_run_whose_cancellation_always_fails_gives_way(
    world: AnsweredWorld, answer: Answer
) -> None:
    entry_id = await failed(world)
    del world.api.runs[1000]
    world.api.answers["runs/cancel"] = answer
    await deliver(world, 1)
    assert (await world.entry(entry_id)).status is Status.QUEUED
    await deliver(world, 8)
    assert (await world.entry(entry_id)).status is Status.RUNNING


@pytest.mark.parametrize(
    ("call", "answer"), [("runs/repair", (401, {})), ("runs/get", (401, {})), ("runs/get", UNAVAILABLE)]
)
async def test_waits_of_an_outage_are_no_patience_with_a_refused_repair(
    world: AnsweredWorld, call: str, answer: Answer
) -> None:
    """A person repairs the run at the end of the outage, a moment before the app; runs/get lags behind."""
    entry_id = await failed(world, retry_mode="repair")
    world.api.answers[call] = answer
    await deliver(world, 4)
    message = "Run 1000 cannot be repaired while it is active"
    del world.api.answers[call]
    world.api.answers["runs/repair"] = (400, {"error_code": "INVALID_STATE", "message": message})
    await deliver(world, 3)
    assert (await world.entry(entry_id)).status is Status.QUEUED
    assert list(world.api.runs) == [1000]
    await deliver(world, 3)
    assert (await world.entry(entry_id)).runid == 1001, "a refusal that lasts gives way"
