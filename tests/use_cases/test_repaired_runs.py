"""Runs that somebody repairs in Databricks: their entries follow them again. Over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core import run_requests
from orchestrator.core.actions import RESTART
from orchestrator.core.models import Claim, Entry, RepairRequest, Verdict
from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, AnsweredWorld, answering, ended, goes_on
from tests.world import policy

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS)
SUCCESS = ended("SUCCESS", "SUCCESS", end_time=START_MS + 60_000)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


@pytest.mark.parametrize("limit", [1, 3])
async def test_repaired_run_is_followed_to_its_success(world: AnsweredWorld, limit: int) -> None:
    world.policy = policy(max_attempts=limit)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    assert (await world.entry(entry.id)).status is (Status.DEAD if limit == 1 else Status.FAILED)
    world.api.runs[1000] = goes_on()
    await world.add("sales")
    await world.next_pass()
    assert list(world.api.runs) == [1000]
    followed = await world.entry(entry.id)
    assert (followed.status, followed.runid, followed.submission) == (Status.RUNNING, 1000, 2)
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
    logs = [(log.submission, log.runid, log.status) for log in await world.store.logs(entry.id)]
    first = Status.DEAD if limit == 1 else Status.FAILED
    assert logs == [(1, 1000, first), (2, 1000, Status.DONE)]


async def test_monitor_sees_a_repair_where_it_lists_anyway(world: AnsweredWorld) -> None:
    await world.running("other")
    entry = await world.running()
    world.api.runs[1001] = FAILED
    await world.monitor()
    world.api.runs[1001] = goes_on()
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_monitor_lists_nothing_where_nothing_runs(world: AnsweredWorld) -> None:
    await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    before = list(world.api.calls)
    await world.monitor()
    assert world.api.calls == before


async def failed_twice(world: AnsweredWorld, limit: int = 3) -> Entry:
    """Return an entry with two failed runs, 1000 and 1001."""
    world.policy = policy(max_attempts=limit)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    await world.next_pass()
    world.api.runs[1001] = FAILED
    await world.monitor()
    return await world.entry(entry.id)


async def logged(world: AnsweredWorld, entry: Entry) -> list[tuple[int | None, str]]:
    return [(log.runid, log.status) for log in await world.store.logs(entry.id)]


@pytest.mark.parametrize("limit", [2, 3])
async def test_earlier_run_that_is_repaired_is_followed_to_its_success(
    world: AnsweredWorld, limit: int
) -> None:
    """Somebody repairs the run of the first message about the entry, not its last one."""
    entry = await failed_twice(world, limit)
    assert entry.status is (Status.DEAD if limit == 2 else Status.FAILED)
    world.api.runs[1000] = goes_on()
    [other] = await world.add("sales")
    for _ in range(3):
        await world.next_pass(3700)
    followed = await world.entry(entry.id)
    assert (followed.status, followed.runid, followed.submission) == (Status.RUNNING, 1000, 3)
    assert (list(world.api.runs), (await world.entry(other)).status) == ([1000, 1001], Status.PENDING)
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.DONE
    second = Status.DEAD if limit == 2 else Status.FAILED
    assert await logged(world, entry) == [(1000, Status.FAILED), (1001, second), (1000, Status.DONE)]
    await world.next_pass()
    assert (await world.entry(other)).runid == 1002


async def test_earlier_run_that_fails_again_is_retried_as_usual(world: AnsweredWorld) -> None:
    entry = await failed_twice(world)
    world.api.runs[1000] = goes_on()
    await world.next_pass(60)
    world.api.runs[1000] = {**FAILED, "end_time": START_MS + 1000}
    await world.monitor()
    again = await world.entry(entry.id)
    assert (again.status, again.attempt) == (Status.FAILED, 2)
    await world.next_pass()
    assert (await world.entry(entry.id)).runid == 1002


async def test_last_run_is_followed_if_an_earlier_one_is_active_too(world: AnsweredWorld) -> None:
    entry = await failed_twice(world)
    world.api.runs[1000] = world.api.runs[1001] = goes_on()
    world.api.unlisted = {1001}
    await world.next_pass(60)
    assert (await world.entry(entry.id)).runid == 1001
    world.api.unlisted = set()
    for _ in range(3):
        await world.next_pass()
    assert (await world.entry(entry.id)).runid == 1001
    world.api.runs[1001] = {**FAILED, "end_time": START_MS + 1000}
    await world.next_pass()
    assert ((await world.entry(entry.id)).runid, list(world.api.runs)) == (1000, [1000, 1001])


@pytest.mark.parametrize("status", [503, 403])
async def test_earlier_run_waits_until_the_last_one_can_be_read(world: AnsweredWorld, status: int) -> None:
    entry = await failed_twice(world)
    world.api.runs[1000] = goes_on()
    world.api.answers["runs/get/1001"] = (status, {"error_code": "X", "message": "no"})
    for _ in range(2):
        await world.next_pass(60)
    assert (await world.entry(entry.id)).status is Status.FAILED
    world.api.answers.clear()
    await world.next_pass(60)
    assert (await world.entry(entry.id)).runid == 1000


async def test_success_of_an_earlier_run_that_nobody_saw_active_ends_the_entry(world: AnsweredWorld) -> None:
    entry = await failed_twice(world)
    world.api.runs[1000] = SUCCESS
    await world.next_pass()
    await world.monitor()
    assert ((await world.entry(entry.id)).status, list(world.api.runs)) == (Status.DONE, [1000, 1001])


async def test_success_of_an_earlier_run_is_reported(world: AnsweredWorld) -> None:
    entry = await failed_twice(world, 2)
    assert not await world.notify(1000)
    world.api.runs[1000] = SUCCESS
    assert await world.notify(1000)
    assert not await world.notify(1000)
    assert (await logged(world, entry))[-1] == (1000, Status.DONE)


async def test_restart_wants_no_earlier_run(world: AnsweredWorld) -> None:
    entry = await failed_twice(world, 2)
    assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    world.api.runs[1000] = SUCCESS
    await world.next_pass()
    assert (await world.entry(entry.id)).runid == 1002


async def test_each_repair_has_a_log_row(world: AnsweredWorld) -> None:
    entry = await world.running()
    for repairs in range(4):
        world.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS + repairs)
        await world.monitor()
        assert (await world.entry(entry.id)).status is Status.FAILED
        world.api.runs[1000] = goes_on()
        await world.next_pass(0)
        assert (await world.entry(entry.id)).status is Status.RUNNING
    logs = await world.store.logs(entry.id)
    assert [(log.submission, log.runid) for log in logs] == [(n, 1000) for n in (1, 2, 3, 4)]


async def test_old_end_is_not_taken_for_the_end_of_the_repair(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = goes_on()
    await world.next_pass(0)
    world.api.runs[1000] = FAILED  # an answer from before the repair
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert len(await world.store.logs(entry.id)) == 1
    world.database.pass_time(601)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    assert len(await world.store.logs(entry.id)) == 2


async def test_old_end_in_an_answer_that_is_out_of_date_starts_no_run_beside_the_repaired(
    world: AnsweredWorld,
) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = goes_on()
    await world.next_pass(0)
    for _ in range(3):
        await world.next_pass(7200)
        world.api.runs[1000] = FAILED
        for _ in range(9):
            await world.next_pass(60)
        stale = await world.entry(entry.id)
        assert (stale.status, stale.run_state) == (Status.RUNNING, "TERMINATED")
        world.api.runs[1000] = goes_on()
        await world.next_pass(60)
        assert (await world.entry(entry.id)).run_state is None
    assert list(world.api.by_token.values()) == [1000]
    world.api.runs[1000] = {**FAILED, "end_time": START_MS + 1}
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED, "another end is believed at once"
    assert [log.submission for log in await world.store.logs(entry.id)] == [1, 2]


@pytest.mark.parametrize("end", [SUCCESS, {**FAILED, "end_time": START_MS + 1}])
async def test_repair_that_nobody_saw_is_reported(world: AnsweredWorld, end: dict[str, object]) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    assert await world.notify(1000)
    assert not await world.notify(1000)
    world.api.runs[1000] = end
    assert await world.notify(1000)
    assert not await world.notify(1000)
    assert (await world.entry(entry.id)).status is (Status.DONE if end is SUCCESS else Status.DEAD)
    assert len(await world.store.logs(entry.id)) == 2


def repaired(end: dict[str, object], *, seconds: int = 60) -> dict[str, object]:
    """Return an end of a run that somebody repaired since its first end."""
    began = START_MS + 1000 * seconds - 30_000
    return {**end, "end_time": START_MS + 1000 * seconds, "repair_history": [{"id": 7, "start_time": began}]}


@pytest.mark.parametrize("limit", [2, 3])
async def test_failed_repair_that_nobody_saw_is_logged_before_the_next_run(
    world: AnsweredWorld, limit: int
) -> None:
    world.policy = policy(max_attempts=limit)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = repaired(FAILED)
    for _ in range(3):
        await world.next_pass()
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.attempt) == (Status.RUNNING, 1001, 2)
    logs = [(log.submission, log.runid, log.status) for log in await world.store.logs(entry.id)]
    assert logs == [(1, 1000, Status.FAILED), (2, 1000, Status.FAILED)]
    assert "runs/repair" not in world.api.calls


async def test_times_that_are_told_otherwise_each_time_are_no_repair(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = {**FAILED, "end_time": START_MS + 5000}
    await world.next_pass()
    assert (await world.entry(entry.id)).runid == 1001
    assert len(await world.store.logs(entry.id)) == 1


async def test_operators_retry_does_not_wait_for_the_log_of_a_failed_repair(world: AnsweredWorld) -> None:
    world.policy = policy(max_attempts=1)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = repaired(FAILED)
    assert await world.retry(entry.id)
    await world.next_pass()
    assert (await world.entry(entry.id)).runid == 1001


@pytest.mark.parametrize("end_time", [START_MS + 5, START_MS + 60_000])
async def test_done_entry_that_is_run_again_gets_a_new_run_whatever_its_end_looks_like(
    world: AnsweredWorld, end_time: int
) -> None:
    entry = await world.running()
    world.api.runs[1000] = SUCCESS
    await world.monitor()
    world.api.runs[1000] = {**SUCCESS, "end_time": end_time}
    assert await world.retry(entry.id)
    await world.next_pass()
    assert (await world.entry(entry.id)).runid == 1001


async def test_cancelled_entry_follows_its_repaired_run(world: AnsweredWorld) -> None:
    entry = await world.running()
    await world.cancel(entry.id)
    await world.monitor()
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.CANCELED
    world.api.runs[1000] = goes_on()
    await world.next_pass(60)
    followed = await world.entry(entry.id)
    assert (followed.status, followed.cancel_requested) == (Status.RUNNING, False)
    await world.next_pass(60)
    assert world.api.cancelled == [1000], "the request was about the run before its repair"


async def test_cancellation_of_a_waiting_entry_reaches_its_repaired_run(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    failed = await world.entry(entry.id)
    world.api.runs[1000] = goes_on()
    await world.cancel(entry.id)
    assert await world.store.revive(failed, 1000, "repaired")
    await world.monitor()
    await world.monitor()
    assert (world.api.cancelled, (await world.entry(entry.id)).status) == ([1000], Status.CANCELED)


@pytest.mark.parametrize(
    ("limit", "status"), [(1, Status.DEAD), (2, Status.FAILED)], ids=["none left", "one left"]
)
async def test_repair_by_a_person_gives_no_attempt_back(
    world: AnsweredWorld, limit: int, status: Status
) -> None:
    world.policy = policy(max_attempts=limit)
    entry = await world.running()
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.api.runs[1000] = goes_on()
    await world.next_pass(0)
    world.api.runs[1000] = ended("INTERNAL_ERROR", "INTERNAL_ERROR", end_time=START_MS + 1000)
    await world.monitor()
    again = await world.entry(entry.id)
    assert (again.status, again.attempt) == (status, 1)
    await world.next_pass()
    assert (len(world.api.runs) > 1) is (limit > 1), "a new run needs an attempt"


async def test_repair_without_an_answer_is_followed_after_it_was_given_up(world: AnsweredWorld) -> None:
    """The call was accepted, and nobody ever heard of it; only the list shows that the run goes on."""
    request = RepairRequest(
        run_id=1000, latest_repair_id=None, parameter_style="notebook_params", parameters={}
    )
    entry = await left_open(world, run_requests.freeze(request))
    world.api.runs[1000] = goes_on()
    await world.next_pass(60)
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.deliveries) == (Status.RUNNING, 1000, 0)


async def test_new_run_in_doubt_is_not_given_up_for_one_that_is_repaired(world: AnsweredWorld) -> None:
    entry = await left_open(world, '{"run_now": {}}')
    world.api.runs[1000] = goes_on()
    await world.next_pass(60)
    assert (await world.entry(entry.id)).status is Status.DEAD


async def left_open(world: AnsweredWorld, request: str) -> Entry:
    """Return an entry whose run has failed and whose next submission was given up without an answer."""
    entry = await world.running(retry_mode="repair")
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.database.pass_time(3700)
    await world.trigger()
    world.queue.sent = []
    claim = Claim(entry_id=entry.id, submission=2)
    for _ in range(2):
        assert await world.store.begin_submission(claim, 900, request)
    given_up = Verdict(to=Status.DEAD, error="given up")
    assert await world.store.leave_open(await world.entry(entry.id), given_up)
    return await world.entry(entry.id)
