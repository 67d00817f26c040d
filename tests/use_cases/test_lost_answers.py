"""A lost or late answer to ``run-now``: the same token finds the same run again."""

from dataclasses import replace

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.errors import NoCapacity, RequestRefused
from orchestrator.core.models import Claim, Job
from orchestrator.core.states import Status
from tests.fakes import UNAVAILABLE
from tests.world import World


async def test_lost_answer_finds_the_same_run_again(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    world.database.pass_time(31)
    await world.monitor()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.runid, entry.attempt) == (1000, 1)
    assert list(world.databricks.runs) == [1000]
    first, second = world.databricks.requests
    assert first.idempotency_token == second.idempotency_token


@pytest.mark.parametrize(("permanent", "status"), [(True, Status.DEAD), (False, Status.FAILED)])
async def test_refusal_after_a_lost_answer_keeps_the_token(
    world: World, permanent: bool, status: Status
) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    refusal = RequestRefused("no", status=403, error_code="PERMISSION_DENIED", permanent=permanent)
    world.databricks.errors = [refusal]
    await world.submit(Claim(entry_id=entry_id, submission=1))
    left = await world.entry(entry_id)
    assert (left.status, left.attempt, left.submission) == (status, 1, 1)
    assert await world.store.logs(entry_id) == []
    assert await world.retry(entry_id)
    await world.trigger()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, entry.submission) == (Status.RUNNING, 1000, 1)
    assert list(world.databricks.runs) == [1000]


async def test_no_capacity_after_a_lost_answer_keeps_the_submission(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    world.databricks.errors = [NoCapacity("already 10 active runs", status=429)]
    await world.submit(Claim(entry_id=entry_id, submission=1))
    assert (await world.entry(entry_id)).status is Status.QUEUED
    await world.submit(Claim(entry_id=entry_id, submission=1))
    assert (await world.entry(entry_id)).runid == 1000


async def test_entry_made_invalid_after_an_uncertain_call_sends_what_it_sent_before(world: World) -> None:
    [entry_id] = await world.add("sales", parameters='{"day": "1"}')
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    [claim] = world.queue.sent
    await world.deliver()
    world.database.execute("UPDATE track_processing SET parameters = 'oops'")
    await world.submit(claim)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, entry.submission) == (Status.RUNNING, 1000, 1)
    assert [request.parameters for request in world.databricks.requests] == [{"day": "1"}, {"day": "1"}]


async def test_request_that_somebody_changed_keeps_its_token(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    [claim] = world.queue.sent
    await world.deliver()
    world.database.execute("UPDATE track_processing SET request = 'oops'")
    await world.submit(claim)  # once more, while a call may be under way
    assert (await world.entry(entry_id)).status is Status.QUEUED
    world.database.pass_time(31)
    await world.monitor()
    await world.deliver()
    dead = await world.entry(entry_id)
    assert (dead.status, dead.submission) == (Status.DEAD, 1)
    assert "request is not a request that the app has written" in (dead.last_error or "")
    world.database.execute("UPDATE track_processing SET request = NULL")
    await world.retry(entry_id)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry_id)).runid == 1000


class SlowStore(Store):
    """Runs a hook after Databricks has answered and before the answer is stored."""

    async def record_run(
        self,
        claim: Claim,
        run_id: int,
        *,
        deliveries: int | None = None,
        new_in: str | None = None,
        address: str = "",
    ) -> bool:
        await self.meanwhile()
        return await super().record_run(claim, run_id, deliveries=deliveries, new_in=new_in, address=address)

    async def meanwhile(self) -> None:
        """The hook."""


async def test_run_of_an_entry_that_somebody_set_canceled_meanwhile_is_cancelled(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    slow = SlowStore(Pool(SqliteConnector(world.database.path)))

    async def move_on() -> None:
        world.database.execute("UPDATE track_processing SET status = 'CANCELED' WHERE id = ?", entry_id)

    slow.meanwhile = move_on  # type: ignore[method-assign]  # the point of the class
    fast, world.store = world.store, slow
    await world.deliver()
    world.store = fast
    await slow.pool.close()
    for _ in range(3):
        await world.monitor()
    assert world.databricks.cancelled == [1000]
    assert (await world.entry(entry_id)).status is Status.CANCELED
    assert [log.runid for log in await world.store.logs(entry_id)] == [1000]


async def test_run_recorded_by_another_delivery_is_left_alone(world: World) -> None:
    await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    slow = SlowStore(Pool(SqliteConnector(world.database.path)))
    fast, world.store = world.store, slow

    async def the_other_delivery() -> None:
        assert await fast.record_run(claim, 1000)

    slow.meanwhile = the_other_delivery  # type: ignore[method-assign]  # the point of the class
    await world.deliver()
    world.store = fast
    await slow.pool.close()
    assert world.databricks.cancelled == []


async def test_job_that_takes_no_runs_any_more_leaves_a_call_in_doubt_open(world: World) -> None:
    """The call is refused, and what would be sent instead is impossible: the lost one may have a run."""
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    stream = Job(job_id=5, name="load", max_concurrent_runs=1, queue_enabled=False, continuous=True)
    world.databricks.jobs[5] = replace(stream, parameters=("day",))
    refusal = RequestRefused("no", status=400, error_code="X", permanent=True)
    world.databricks.errors = [refusal]
    await world.submit(claim)
    left = await world.entry(entry_id)
    assert (left.status, left.submission, left.deliveries) == (Status.DEAD, 1, 2)
    assert await world.store.logs(entry_id) == [], "the submission is not settled"
