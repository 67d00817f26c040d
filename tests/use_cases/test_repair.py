"""A retry that repairs the last run: once for each submission, whatever answer is lost."""

from typing import Any

import pytest

from orchestrator.core.errors import RequestRefused, WorkspaceUnavailable
from orchestrator.core.models import Claim, Entry, Job, RepairRequest, Run
from orchestrator.core.states import Status
from orchestrator.usecases import refusals
from orchestrator.usecases.jobs import Jobs
from tests.fakes import UNAVAILABLE
from tests.use_cases.answering import never
from tests.world import World, policy

REFUSED = RequestRefused("cannot be repaired", status=400, error_code="X", permanent=False)


def repair_request(latest_repair_id: int | None) -> RepairRequest:
    """Return the request for the repair of the first run."""
    return RepairRequest(
        run_id=1000,
        latest_repair_id=latest_repair_id,
        parameter_style="notebook_params",
        parameters={"table_name": "sales"},
    )


async def failed(world: World, **fields: object) -> Entry:
    """Bring an entry to a failed run, and let its back-off pass."""
    entry = await world.running(**{"retry_mode": "repair", **fields})  # type: ignore[arg-type]  # columns
    world.databricks.end(entry.runid or 0, "FAILED")
    await world.monitor()
    world.database.pass_time(3600)
    return entry


async def test_the_same_run_is_repaired_and_followed(world: World) -> None:
    entry = await failed(world)
    await world.trigger()
    await world.deliver()
    assert world.databricks.repairs == [repair_request(None)]
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission, again.attempt) == (Status.RUNNING, 1000, 2, 2)
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    world.database.pass_time(3600)
    await world.trigger()
    await world.deliver()
    assert world.databricks.repairs[1:] == [repair_request(1)]
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    done = await world.entry(entry.id)
    assert (done.status, done.attempt) == (Status.DONE, 3)
    assert [log.runid for log in await world.store.logs(entry.id)] == [1000, 1000, 1000]
    assert len(world.databricks.requests) == 1


async def test_the_setting_decides_for_entries_that_do_not(world: World) -> None:
    world.policy = policy(retry_mode="repair")
    await failed(world, retry_mode=None)
    await failed(world, table="other", retry_mode="run")
    await world.trigger()
    await world.deliver()
    assert [repair.run_id for repair in world.databricks.repairs] == [1000]
    assert len(world.databricks.requests) == 3


async def test_lost_answer_starts_no_second_repair(world: World) -> None:
    entry = await failed(world)
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    assert (await world.entry(entry.id)).status is Status.QUEUED
    await world.submit(Claim(entry_id=entry.id, submission=2))
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert len(world.databricks.repairs) == 1


async def test_a_run_that_is_not_shown_in_time_leaves_its_repair_in_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether only the call for the repair fails is not known, so none of the calls counts."""
    entry = await failed(world)
    await world.trigger()
    unanswered = refusals.Refusals.unanswered

    async def hidden(self: refusals.Refusals, *arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(world.databricks, "get_run", lambda *_, **__: never())
            await unanswered(self, *arguments)

    monkeypatch.setattr(refusals.Refusals, "unanswered", hidden)
    monkeypatch.setattr(refusals, "_PROBE_SECONDS", 0.01)
    for _ in range(5):
        world.databricks.lost_answer = UNAVAILABLE
        world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="TERMINATED", result_state="FAILED")
        await world.submit(Claim(entry_id=entry.id, submission=2))
    again = await world.entry(entry.id)
    assert (again.status, len(world.databricks.repairs)) == (Status.QUEUED, 5)
    assert again.deliveries <= 2


async def test_repair_that_is_over_before_its_answer_is_looked_for_counts(world: World) -> None:
    entry = await failed(world)
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    world.databricks.end(1000, "SUCCESS")
    await world.submit(Claim(entry_id=entry.id, submission=2))
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
    assert len(world.databricks.repairs) == 1


async def test_call_that_had_no_effect_is_made_again(world: World) -> None:
    entry = await failed(world)
    await world.trigger()
    [claim] = world.queue.sent
    await world.deliver()
    world.databricks.errors = []
    assert len(world.databricks.repairs) == 1
    await world.submit(claim)  # a second delivery of the same message
    assert len(world.databricks.repairs) == 1
    assert (await world.entry(entry.id)).attempt == 2


async def test_run_that_was_deleted_after_a_lost_answer_settles_the_submission(world: World) -> None:
    entry = await failed(world)
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    del world.databricks.runs[1000]
    await world.submit(Claim(entry_id=entry.id, submission=2))
    settled = await world.entry(entry.id)
    assert (settled.status, settled.attempt, settled.deliveries) == (Status.FAILED, 2, 0)
    world.database.pass_time(3600)
    await world.trigger()
    await world.deliver()
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1001, 3)


async def unless_the_job_can_be_read(world: World, claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliver a message while the job of its entry cannot be read: the entry waits for that."""
    with monkeypatch.context() as patch:
        patch.setattr(world, "jobs", Jobs(runs=world.runs, workspaces=world.workspaces, clock=world.clock))

        async def fail(job_id: int) -> Job:
            raise UNAVAILABLE

        patch.setattr(world.databricks, "get_job", fail)
        await world.submit(claim)
    entry = await world.entry(claim.entry_id)
    assert (entry.status, entry.deliveries) == (Status.QUEUED, 0)
    assert "no answer" in (entry.last_error or "")


async def test_run_that_cannot_be_repaired_is_run_anew_after_some_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal may mean that somebody has just repaired the run, so it is looked at again and again."""
    entry = await failed(world)
    await world.trigger()
    [claim] = world.queue.sent

    async def refuse(request: RepairRequest) -> int:
        raise REFUSED

    world.databricks.repair = refuse  # type: ignore[method-assign]  # only runs/repair refuses
    for seconds in (30, 60, 120):
        await world.submit(claim)
        waiting = await world.entry(entry.id)
        assert (waiting.status, waiting.deliveries) == (Status.QUEUED, 0)
        assert waiting.last_error == "cannot be repaired"
        world.database.pass_time(seconds)
    await unless_the_job_can_be_read(world, claim, monkeypatch)
    await world.submit(claim)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1001, 2)
    assert world.databricks.requests[-1].idempotency_token == f"{entry.entry_guid}-2"


async def test_run_that_a_person_repairs_at_the_same_moment_is_followed(world: World) -> None:
    """Databricks refuses our repair and still shows the old end: no run may begin beside the repaired."""
    entry = await failed(world)
    await world.trigger()
    [claim] = world.queue.sent
    repair = world.databricks.repair

    async def refuse(request: RepairRequest) -> int:
        raise REFUSED

    world.databricks.repair = refuse  # type: ignore[method-assign]  # it is active, though nothing shows it
    await world.submit(claim)
    await repair(repair_request(None))  # what runs/get says has caught up
    await world.submit(claim)
    again = await world.entry(entry.id)
    assert (again.status, again.runid) == (Status.RUNNING, 1000)
    assert len(world.databricks.requests) == 1


async def test_refusal_after_a_lost_answer_starts_no_new_run(world: World) -> None:
    """The lost call may still arrive, and a new run would then be beside the repaired one."""
    entry = await failed(world)
    await world.trigger()

    async def lose(request: RepairRequest) -> int:
        raise UNAVAILABLE

    async def refuse(request: RepairRequest) -> int:
        raise REFUSED

    world.databricks.repair = lose  # type: ignore[method-assign]  # the call is lost on its way
    await world.deliver()
    world.databricks.repair = refuse  # type: ignore[method-assign]  # and its repetition is refused
    await world.submit(Claim(entry_id=entry.id, submission=2))
    left = await world.entry(entry.id)
    assert (left.status, left.submission) == (Status.QUEUED, 2)
    assert len(world.databricks.requests) == 1


@pytest.mark.parametrize(
    "end", [("MAXIMUM_CONCURRENT_RUNS_REACHED", "SKIPPED"), None], ids=["skipped", "gone"]
)
async def test_run_without_failed_tasks_is_run_anew(world: World, end: tuple[str, str] | None) -> None:
    entry = await failed(world)
    if end is None:
        del world.databricks.runs[1000]
    else:
        world.databricks.end(1000, *end)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry.id)).runid == 1001
    assert world.databricks.repairs == []


async def test_run_that_a_person_repaired_meanwhile_is_followed(world: World) -> None:
    entry = await failed(world, retry_mode=None)
    await world.trigger()
    [claim] = world.queue.sent
    await world.databricks.repair(repair_request(None))
    await world.submit(claim)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1000, 2)
    assert len(world.databricks.requests) == 1


@pytest.mark.parametrize("mode", ["run", "repair"])
async def test_run_that_a_person_repaired_while_the_call_was_put_off_is_followed(
    world: World, mode: str
) -> None:
    """A call that had no effect may be repeated much later, and then the last run is looked at again."""
    entry = await failed(world, retry_mode=mode)
    await world.trigger()
    [claim] = world.queue.sent
    too_often = WorkspaceUnavailable("too many requests", status=429)
    too_often.in_doubt = False
    start = world.databricks.run_now

    async def put_off(request: object) -> int:
        raise too_often

    world.databricks.run_now = world.databricks.repair = put_off  # type: ignore[method-assign]
    await world.deliver()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.deliveries) == (Status.QUEUED, 0)
    assert waiting.request is not None
    world.databricks.run_now = start  # type: ignore[method-assign]
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="RUNNING", latest_repair_id=1)
    await world.submit(claim)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1000, 2)
    assert len(world.databricks.requests) == 1


async def test_run_is_not_followed_once_another_delivery_has_made_a_call(world: World) -> None:
    """That call may start a run, and nobody would follow it if this delivery recorded the old one."""
    entry = await failed(world, retry_mode=None)
    await world.trigger()
    [claim] = world.queue.sent
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state="RUNNING", latest_repair_id=1)
    look = world.databricks.get_run

    async def look_while_another_call_begins(run_id: int, *, with_history: bool = False) -> Run:
        await world.store.begin_submission(claim, 900, "{}")
        return await look(run_id, with_history=with_history)

    world.databricks.get_run = look_while_another_call_begins  # type: ignore[method-assign]
    await world.submit(claim)
    left = await world.entry(entry.id)
    assert (left.status, left.deliveries, left.runid) == (Status.QUEUED, 1, None)


async def test_repair_that_nobody_saw_and_that_succeeded_is_recorded(world: World) -> None:
    entry = await failed(world, retry_mode=None)
    await world.databricks.repair(repair_request(None))
    world.databricks.end(1000, "SUCCESS")
    await world.trigger()
    await world.deliver()
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
    assert len(world.databricks.requests) == 1


async def test_run_that_is_gone_is_cancelled_before_the_next(world: World) -> None:
    entry = await failed(world, retry_mode=None)
    world.databricks.gone.add(1000)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry.id)).runid == 1001
    assert world.databricks.cancelled == [1000]


async def test_last_run_that_cannot_be_read_keeps_the_next_waiting(world: World) -> None:
    entry = await failed(world, retry_mode=None)
    await world.trigger()
    world.databricks.errors = [UNAVAILABLE]
    [claim] = world.queue.sent
    await world.deliver()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.deliveries, waiting.postponements) == (Status.QUEUED, 0, 1)
    await world.submit(claim)
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_done_entry_that_is_run_again_gets_a_new_run(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    await world.retry(entry.id)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry.id)).runid == 1001
