"""A row whose calls never have an answer ends DEAD, but never by an outage of its workspace."""

from dataclasses import replace

import pytest

from orchestrator import decisions
from orchestrator.errors import DatabricksError, NoCapacity, WorkspaceUnavailable
from orchestrator.models import Claim, RunRequest
from orchestrator.states import Status
from tests.fakes import FakeRuns
from tests.use_cases.world import POLICY, UNAVAILABLE, World

LIMIT = POLICY.max_deliveries


def lose_answers(databricks: FakeRuns, monkeypatch: pytest.MonkeyPatch, *, effect: bool = False) -> None:
    """Let each ``run-now`` end without an answer, as a request that Databricks cannot digest would."""
    run_now = databricks.run_now

    async def lost(request: RunRequest) -> int:
        if effect:
            await run_now(request)
        databricks.requests.append(request)
        raise WorkspaceUnavailable("HTTP 500 INTERNAL_ERROR", status=500)

    monkeypatch.setattr(databricks, "run_now", lost)


async def deliver_until_given_up(world: World, entry_id: int) -> None:
    for _ in range(2 * LIMIT):
        await world.trigger()
        await world.deliver()
        world.pass_time(POLICY.submit_lease_seconds)
        if (await world.entry(entry_id)).status is not Status.QUEUED:
            return
    raise AssertionError("never given up")


async def test_row_that_never_has_an_answer_ends_dead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    await deliver_until_given_up(world, entry_id)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.submission, entry.runid) == (Status.DEAD, 1, None)
    assert len(world.databricks.requests) == LIMIT
    assert {request.idempotency_token for request in world.databricks.requests} == {f"{entry.entry_guid}-1"}
    assert entry.last_error is not None
    assert entry.last_error.startswith(f"given up after {LIMIT} calls of run-now")
    assert "HTTP 500 INTERNAL_ERROR" in entry.last_error
    assert await world.store.logs(entry_id) == [], "the submission is not settled"


async def test_retry_of_a_row_that_was_given_up_finds_its_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    with monkeypatch.context() as patch:
        lose_answers(world.databricks, patch, effect=True)
        await deliver_until_given_up(world, entry_id)
    assert await world.store.retry(entry_id)
    await world.trigger()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, entry.submission) == (Status.RUNNING, 1000, 1)
    assert list(world.databricks.runs) == [1000]


async def test_row_that_is_run_again_has_its_deliveries_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    await deliver_until_given_up(world, entry_id)
    calls = len(world.databricks.requests)
    await world.store.retry(entry_id)
    await deliver_until_given_up(world, entry_id)
    assert len(world.databricks.requests) - calls == LIMIT - 2, "two stand for the doubt that is left"
    assert (await world.entry(entry_id)).submission == 1


async def test_outage_gives_no_row_up(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.down = UNAVAILABLE
    for _ in range(3 * LIMIT):
        await world.deliver()
        world.pass_time(POLICY.submit_lease_seconds)
        await world.monitor()
    assert (await world.entry(entry_id)).status is Status.QUEUED
    world.databricks.down = None
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(WorkspaceUnavailable("too many requests", status=429), id="rate limit"),
        pytest.param(NoCapacity("full", status=429), id="no capacity"),
    ],
)
async def test_calls_that_surely_had_no_effect_do_not_count(world: World, error: DatabricksError) -> None:
    [entry_id] = await world.add("sales")
    if isinstance(error, WorkspaceUnavailable):
        error.in_doubt = False
    for _ in range(2 * LIMIT):
        world.databricks.errors = []
        await world.trigger()
        world.databricks.errors = [error]
        await world.deliver()
        world.pass_time(POLICY.submit_lease_seconds)
    entry = await world.entry(entry_id)
    assert entry.status in {Status.QUEUED, Status.PENDING}
    assert (entry.deliveries, entry.attempt) == (0, 0)


async def test_process_that_dies_at_each_call_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")

    async def die(_request: RunRequest) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.databricks, "run_now", die)
    await world.trigger()
    for _ in range(LIMIT):
        with pytest.raises(KeyboardInterrupt):
            await world.submit(Claim(entry_id=entry_id, submission=1))
    await world.submit(Claim(entry_id=entry_id, submission=1))
    entry = await world.entry(entry_id)
    assert entry.status is Status.DEAD
    assert "the process ended in the middle of it" in (entry.last_error or "")


def test_message_is_sent_again_later_each_time_but_within_the_lease() -> None:
    waits = [decisions.postponement_seconds(deliveries, POLICY) for deliveries in (0, 1, 2, 3, 4, 5, 1000)]
    assert waits == [30, 30, 60, 120, 240, 300, 300]
    assert decisions.postponement_seconds(9, replace(POLICY, submit_lease_seconds=5)) == 5
