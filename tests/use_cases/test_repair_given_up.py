"""A repair that keeps failing gives way to a new run, once it is certain that none has begun. Over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import run_requests
from orchestrator.core.models import Claim, Entry
from orchestrator.core.states import Status
from tests.use_cases.answering import START_MS, Answer, AnsweredWorld, answering, ended, goes_on
from tests.world import policy

FAILED = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR", end_time=START_MS)
NO_TASKS: Answer = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "No failed tasks to rerun"})
DENIED: Answer = (403, {"error_code": "PERMISSION_DENIED", "message": "You may not view run 1000"})
LOST: Answer = (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "try again"})

#: How ``runs/repair`` fails for good.
FAILURES: dict[str, Answer] = {
    "not implemented": (501, {"error_code": "NOT_IMPLEMENTED", "message": "no such feature"}),
    "unavailable": LOST,
    "a page": (200, "<html>maintenance</html>"),
    "hangs up": (0, ""),
    "empty": (200, {}),
    "an error in a 200": (200, {"error_code": "INTERNAL_ERROR", "message": "oops"}),
    "a gateway's 502": (502, "<html>bad gateway</html>"),
}

#: Longer than any wait between two calls.
WAIT = 310


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AnsweredWorld]:
    async with answering(tmp_path) as made:
        yield made


async def to_be_repaired(world: AnsweredWorld) -> Entry:
    """Bring an entry to a failed run, and claim it for its repair."""
    entry = await world.running(retry_mode="repair")
    world.api.runs[1000] = FAILED
    await world.monitor()
    world.database.pass_time(3700)
    await world.trigger()
    return await world.entry(entry.id)


async def wait(world: AnsweredWorld, entry: Entry, times: int) -> Entry:
    """Let the message be sent again and again, and return the entry then."""
    for _ in range(times):
        await world.deliver()
        world.database.pass_time(WAIT)
        await world.trigger()
    return await world.entry(entry.id)


def repairs(world: AnsweredWorld) -> int:
    """Return how often the client was asked to repair: it tries four times what may pass by itself."""
    return world.api.calls.count("runs/repair")


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("others", [False, True], ids=["alone", "others are accepted"])
async def test_new_run_follows_a_repair_that_cannot_be_asked_for(
    world: AnsweredWorld, name: str, others: bool
) -> None:
    world.api.answers["runs/repair"] = FAILURES[name]
    entry = await to_be_repaired(world)
    if others:
        await world.add("other")
        await world.trigger()
    again = await wait(world, entry, 12)
    assert (again.status, again.runid, again.attempt) == (
        Status.RUNNING,
        1001 + int(others),
        2,
    )
    assert again.submission == 3, "its token is its own"
    assert 4 <= repairs(world) <= 16, "four calls, of four tries each at most"
    first, given_up = await world.store.logs(entry.id)
    assert (first.runid, given_up.runid, given_up.status) == (1000, None, Status.FAILED)
    assert "a new run is started instead" in (given_up.message or "")


async def test_refusal_after_a_doubt_leads_to_a_new_run(world: AnsweredWorld) -> None:
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    await wait(world, entry, 1)
    world.api.answers["runs/repair"] = NO_TASKS
    calls = repairs(world)
    again = await wait(world, entry, 6)
    assert (again.status, again.runid, again.attempt) == (Status.RUNNING, 1001, 2)
    assert repairs(world) == calls + 1, "a refusal is final"


async def test_no_new_run_begins_before_a_lost_repair_could_be_seen(world: AnsweredWorld) -> None:
    """Until the last call is ten minutes old its repair may still begin, or be hidden by an older answer."""
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    quiet = await wait(world, entry, 4)
    assert "does not ask again for a repair of run 1000" in (quiet.last_error or "")
    assert "TEMPORARILY_UNAVAILABLE" in (quiet.last_error or "")
    await world.deliver()
    waiting = await world.entry(entry.id)
    assert (waiting.status, list(world.api.runs)) == (Status.QUEUED, [1000])
    world.api.runs[1000] = goes_on(repair_history=[{"id": 5, "start_time": START_MS + 1}])  # it has arrived
    world.database.pass_time(WAIT)
    await world.trigger()
    await world.deliver()
    again = await world.entry(entry.id)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1000, 2)
    assert list(world.api.runs) == [1000]


@pytest.mark.parametrize(
    "seen",
    [
        {"repair_history": [{"id": 5, "start_time": START_MS + 1}]},
        {"end_time": START_MS + 60_000},  # a server that tells no history
    ],
    ids=["history", "end"],
)
async def test_repair_that_is_over_already_counts(world: AnsweredWorld, seen: dict[str, object]) -> None:
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    await wait(world, entry, 5)
    world.api.runs[1000] = {**FAILED, **seen}
    again = await wait(world, entry, 1)
    assert (again.runid, again.attempt, list(world.api.runs)) == (1000, 2, [1000])


async def test_process_that_was_held_up_does_not_ask_any_more(world: AnsweredWorld) -> None:
    """It has begun its submission; before it could call, others went quiet and started a new run."""
    entry = await to_be_repaired(world)
    claim = Claim(entry_id=entry.id, submission=entry.submission)
    begin = world.store.begin_submission

    async def slowly(claim: Claim, lease_seconds: float, request: str, **more: Any) -> Entry | None:
        begun = await begin(claim, lease_seconds, request, **more)
        world.clock.time += 121
        return begun

    world.store.begin_submission = slowly  # type: ignore[method-assign]
    await world.submit(claim)
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.deliveries, repairs(world)) == (Status.QUEUED, 0, 0)
    assert "held up" in (waiting.last_error or "")


async def test_run_that_cannot_be_read_after_a_doubt_says_what_to_do(world: AnsweredWorld) -> None:
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    await wait(world, entry, 4)
    world.api.answers["runs/get"] = DENIED
    waiting = await wait(world, entry, 12)
    assert (waiting.status, list(world.api.runs)) == (Status.QUEUED, [1000]), "it may be active"
    error = waiting.last_error or ""
    assert "whether the repair of run 1000 has begun cannot be seen" in error
    assert "You may not view run 1000" in error
    assert "cancel it if it is active; then resolve this entry and retry it" in error
    del world.api.answers["runs/get"]
    again = await wait(world, entry, 3)
    assert (again.status, again.runid) == (Status.RUNNING, 1001)


async def test_outage_of_the_workspace_does_not_give_the_repair_up(world: AnsweredWorld) -> None:
    entry = await to_be_repaired(world)
    world.api.answers["runs/repair"] = LOST
    await wait(world, entry, 1)
    world.api.answers["runs/get"] = LOST
    waiting = await wait(world, entry, 12)
    request = run_requests.thaw(waiting)
    assert (waiting.status, getattr(request, "quiet_since", "")) == (Status.QUEUED, None)
    world.api.answers.clear()
    again = await wait(world, entry, 1)
    assert (again.status, again.runid, again.submission) == (Status.RUNNING, 1000, 2)


async def test_cancellation_of_a_repair_in_doubt_asks_for_no_repair(world: AnsweredWorld) -> None:
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    await wait(world, entry, 1)
    await world.cancel(entry.id)
    calls = repairs(world)
    again = await wait(world, entry, 6)
    assert (again.status, list(world.api.runs), repairs(world)) == (Status.CANCELED, [1000], calls)


async def test_limit_of_calls_below_four_is_kept(world: AnsweredWorld) -> None:
    world.policy = policy(max_deliveries=3)
    world.api.answers["runs/repair"] = (501, {})
    entry = await to_be_repaired(world)
    await world.add("other")
    await world.trigger()
    again = await wait(world, entry, 10)
    assert (again.status, again.runid) == (Status.RUNNING, 1002)


async def test_repair_is_tried_again_after_a_further_failure(world: AnsweredWorld) -> None:
    world.policy = policy(max_attempts=5)
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    assert (await wait(world, entry, 12)).runid == 1001
    del world.api.answers["runs/repair"]
    world.api.runs[1001] = FAILED
    world.database.pass_time(3700)
    await world.monitor()
    again = await wait(world, entry, 13)
    assert (again.status, again.runid) == (Status.RUNNING, 1001)
    assert "repair_history" in world.api.runs[1001]


async def test_the_wait_counts_anew_when_the_clock_has_gone_back(world: AnsweredWorld) -> None:
    world.api.answers["runs/repair"] = LOST
    entry = await to_be_repaired(world)
    await wait(world, entry, 4)
    world.database.pass_time(-6 * 3600)
    await world.trigger()
    again = await wait(world, entry, 5)
    assert (again.status, again.runid) == (Status.RUNNING, 1001)
