"""Runs that are missing, cannot be read or cannot be listed: what passes do about them, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core import pass_budget
from orchestrator.core.actions import RESTART
from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, UNAVAILABLE, Answer, AnsweredWorld, answering, ended, never
from tests.world import policy

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS)
SUCCESS = ended("SUCCESS", "SUCCESS", end_time=START_MS + 60_000)

GONE = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Run 1000 does not exist."})
DENIED = (403, {"error_code": "PERMISSION_DENIED", "message": "You may not view run 1000."})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def test_one_lie_changes_nothing(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.database.pass_time(1000)
    world.api.unlisted = {1000}
    world.api.answers["runs/get"] = GONE
    await world.monitor()
    noted = await world.entry(entry.id)
    assert (noted.status, noted.missing_since is None) == (Status.RUNNING, False)
    assert "does not exist" in (noted.last_error or "")
    world.api.answers.clear()
    await world.next_pass(60)
    well = await world.entry(entry.id)
    assert (well.status, well.missing_since, well.last_error) == (Status.RUNNING, None, None)
    assert list(world.api.runs) == [1000]


async def test_lie_about_a_listed_run_is_never_heard(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.answers["runs/get"] = GONE
    for _ in range(10):
        await world.next_pass(600)
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert list(world.api.runs) == [1000]


async def test_listed_run_that_is_over_is_settled_and_takes_no_slot(world: AnsweredWorld) -> None:
    entry = await world.running()
    over = {"state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}}
    everything = [{"run_id": run_id, "job_id": 5, **over} for run_id in range(1000, 1150)]
    world.api.runs[1000] = SUCCESS
    world.api.answers["runs/list"] = (200, {"runs": everything, "has_more": False, "next_page_token": "x"})
    [other] = await world.add("orders")
    await world.next_pass()
    assert (await world.entry(entry.id)).status is Status.DONE
    assert (await world.entry(other)).status is Status.RUNNING


async def test_error_in_place_of_the_list_proves_nothing(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.answers |= {"runs/get": GONE, "runs/list": (200, {"error_code": "X", "message": "oops"})}
    for _ in range(5):
        world.database.pass_time(600)
        await world.monitor()
    await world.add("sales")
    await world.next_pass()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    assert list(world.api.runs) == [1000]


async def test_run_that_is_gone_is_believed_the_second_time(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.database.pass_time(1000)
    del world.api.runs[1000]
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING
    world.database.pass_time(60)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    [log] = await world.store.logs(entry.id)
    assert (log.life_cycle_state, log.status) == ("NOT_FOUND", Status.FAILED)
    await world.next_pass()
    assert world.api.cancelled == [1000], "before another run begins the old one is cancelled"
    assert (await world.entry(entry.id)).runid != 1000 or len(world.api.by_token) == 2


async def test_young_run_is_never_gone(world: AnsweredWorld) -> None:
    entry = await world.running()
    del world.api.runs[1000]
    for _ in range(4):
        await world.monitor()
        world.database.pass_time(29)
    assert (await world.entry(entry.id)).status is Status.RUNNING
    world.database.pass_time(10)
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED


async def test_run_is_not_gone_while_the_list_is_not_known(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.answers |= {"runs/get": GONE, "runs/list": UNAVAILABLE}
    for _ in range(5):
        world.database.pass_time(600)
        await world.monitor()
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_notification_never_proves_that_a_run_is_gone(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.database.pass_time(1000)
    world.api.answers["runs/get"] = GONE
    for _ in range(3):
        world.database.pass_time(60)
        assert not await world.notify(1000)
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_denied_run_is_noted_and_well_again_when_it_can_be_read(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.unlisted = {1000}
    world.api.answers["runs/get"] = DENIED
    assert await world.monitor() != []
    noted = await world.entry(entry.id)
    assert (noted.status, noted.unreadable_since is None) == (Status.RUNNING, False)
    assert "You may not view run 1000" in (noted.last_error or "")
    await world.add("sales")
    await world.next_pass(600)
    assert list(world.api.runs) == [1000], "its table stays busy"
    again = await world.entry(entry.id)
    assert again.unreadable_since == noted.unreadable_since
    world.api.answers.clear()
    await world.next_pass(60)
    well = await world.entry(entry.id)
    assert (well.status, well.unreadable_since, well.last_error) == (Status.RUNNING, None, None)


async def test_cancellation_of_a_denied_run_is_tried(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    world.api.answers["runs/get"] = DENIED
    await world.cancel(entry.id)
    await world.monitor()
    assert world.api.cancelled == [1000]


@pytest.mark.parametrize(
    "answer", [(500, {"error_code": "INTERNAL_ERROR", "message": "oops"}), (200, {"run_id": 1000})]
)
async def test_run_that_is_never_answered_for_is_noted_the_second_time(
    world: AnsweredWorld, answer: tuple[int, dict[str, object]]
) -> None:
    entry = await world.running()
    world.api.runs[1000] = FAILED
    world.api.answers["runs/get"] = answer
    await world.monitor()
    noted = await world.entry(entry.id)
    assert ("its run cannot be read" in (noted.last_error or ""), noted.unreadable_since) == (True, None)
    await world.monitor()
    assert (await world.entry(entry.id)).unreadable_since is not None
    world.api.answers.clear()
    await world.monitor()
    ended_entry = await world.entry(entry.id)
    assert (ended_entry.status, ended_entry.unreadable_since) == (Status.FAILED, None)


async def test_token_that_is_refused_everywhere_is_no_entry_s_trouble(world: AnsweredWorld) -> None:
    entry = await world.running()
    denied = (403, {"error_code": "", "message": "Invalid access token."})
    world.api.answers |= {"runs/get": denied, "runs/list": denied}
    assert len(await world.monitor()) == 2
    left = await world.entry(entry.id)
    assert (left.last_error, left.unreadable_since, left.status) == (None, None, Status.RUNNING)


async def test_ended_runs_are_settled_while_the_list_fails(world: AnsweredWorld) -> None:
    ids = await world.add(*(f"t{n}" for n in range(30)))
    await world.trigger()
    await world.deliver()
    for run_id in list(world.api.runs)[:20]:
        world.api.runs[run_id] = SUCCESS
    world.api.answers["runs/list"] = UNAVAILABLE
    [problem] = await world.monitor()
    assert "active runs are looked up one by one" in problem
    states = [(await world.entry(entry_id)).status for entry_id in ids]
    assert (states.count(Status.DONE), states.count(Status.RUNNING)) == (20, 10)


async def test_runs_that_may_not_be_seen_are_no_sign_of_an_outage(world: AnsweredWorld) -> None:
    """57 of 60 runs are denied and the list fails: the three that have ended are settled all the same."""
    ids = await world.add(*(f"t{n}" for n in range(60)))
    await world.trigger()
    await world.deliver()
    world.api.answers["runs/list"] = UNAVAILABLE
    for run_id in world.api.runs:
        world.api.runs[run_id] = SUCCESS
        if run_id < 1057:
            world.api.answers[f"runs/get/{run_id}"] = DENIED
    await world.monitor()
    states = [(await world.entry(entry_id)).status for entry_id in ids]
    assert states.count(Status.DONE) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
        (400, {"error_code": "FEATURE_DISABLED", "message": "no"}),
        UNAVAILABLE,
        (0, ""),
    ],
    ids=["denied", "not understood", "unavailable", "closed"],
)
async def test_runs_that_cannot_be_cancelled_are_no_sign_of_an_outage(
    world: AnsweredWorld, answer: Answer
) -> None:
    """59 of 60 runs cannot be cancelled, and the list fails: the one that has ended is settled."""
    ids = await world.add(*(f"t{n}" for n in range(60)))
    await world.trigger()
    await world.deliver()
    world.api.answers |= {"runs/cancel": answer, "runs/list": UNAVAILABLE}
    for entry_id in ids[:59]:
        await world.cancel(entry_id)
    last = await world.entry(ids[59])
    world.api.runs[last.runid or 0] = SUCCESS
    await world.monitor()
    assert (await world.entry(ids[59])).status is Status.DONE


async def test_ended_runs_are_settled_while_the_list_takes_too_long(
    world: AnsweredWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_budget, "FIRST_LIST_SECONDS", 0.2)
    monkeypatch.setattr(pass_budget, "LIST_SECONDS", 0.5)
    entry = await world.running()
    world.api.runs[1000] = SUCCESS
    world.api.before_list = never
    [problem] = await world.monitor()
    assert "not done within 0.5 s" in problem
    assert (await world.entry(entry.id)).status is Status.DONE


async def test_due_cancellation_needs_no_list(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.answers["runs/list"] = UNAVAILABLE
    await world.cancel(entry.id)
    await world.monitor()
    await world.monitor()
    assert (world.api.cancelled, (await world.entry(entry.id)).status) == ([1000], Status.CANCELED)


NOT_CANCELLED = (
    403,
    {"error_code": "PERMISSION_DENIED", "message": "User lacks CAN MANAGE RUN on run 1000"},
)


@pytest.mark.parametrize("reason", ["cancel", "restart", "time-out"])
async def test_refused_cancellation_stays_visible(world: AnsweredWorld, reason: str) -> None:
    entry = await world.running()
    world.api.answers["runs/cancel"] = NOT_CANCELLED
    if reason == "time-out":
        world.policy = policy(run_timeout_seconds=30)
    elif reason == "restart":
        assert await Operations(world.store.pool).change(RESTART, [entry.id]) == [entry.id]
    else:
        await world.cancel(entry.id)
    since = set()
    for passes in range(1, 5):
        world.database.pass_time(60)
        [problem] = await world.monitor()
        assert "CAN MANAGE RUN" in problem
        noted = await world.entry(entry.id)
        assert (noted.last_error or "").startswith("its run cannot be cancelled: ")
        since.add(noted.unreadable_since)
        # The client repeats the first refusal with a fresh token.
        assert world.api.calls.count("runs/cancel") == passes + 1
    assert len(since) == 1
    assert None not in since
    del world.api.answers["runs/cancel"]
    await world.monitor()
    well = await world.entry(entry.id)
    assert (well.last_error, well.unreadable_since, world.api.cancelled) == (None, None, [1000])


async def test_cancellation_that_fails_once_is_no_trouble_yet(world: AnsweredWorld) -> None:
    entry = await world.running()
    world.api.answers["runs/cancel"] = UNAVAILABLE
    await world.cancel(entry.id)
    await world.monitor()
    noted = await world.entry(entry.id)
    assert ("cannot be cancelled" in (noted.last_error or ""), noted.unreadable_since) == (True, None)
    await world.monitor()
    assert (await world.entry(entry.id)).unreadable_since is not None


async def test_run_that_is_gone_is_believed_although_it_cannot_be_cancelled(world: AnsweredWorld) -> None:
    entry = await world.running()
    await world.cancel(entry.id)
    world.database.pass_time(1000)
    del world.api.runs[1000]
    world.api.answers["runs/cancel"] = NOT_CANCELLED
    for _ in range(2):
        world.database.pass_time(60)
        await world.monitor()
    assert (await world.entry(entry.id)).status is Status.CANCELED
