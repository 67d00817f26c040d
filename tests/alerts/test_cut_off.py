"""Claims whose end nobody waits for, or whose answer is lost: what they took is free for the next pass."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.adapters import webhook
from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.core.alerts import DeadEntries
from orchestrator.usecases import alerting
from tests.alerts.conftest import Desk, Hold

#: A claim that is held gives nothing back for so long, which is ample for one that would.
QUIET_SECONDS = 0.1


async def go_on(hold: Hold, tasks: set[asyncio.Task[object]]) -> None:
    """Let a claim go on, and wait until it is done and what follows it, too."""
    if left := asyncio.all_tasks() - tasks:
        await asyncio.wait(left, timeout=QUIET_SECONDS)
    hold.go_on.set()
    assert await asyncio.to_thread(hold.committed.wait, 10)
    if left := asyncio.all_tasks() - tasks:
        await asyncio.wait(left, timeout=10)


@pytest.mark.parametrize("place", ["begin", "commit"])
async def test_claim_that_takes_too_long(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    desk.kill(2)
    passing, tasks = await desk.begin("trigger"), asyncio.all_tasks()
    desk.connector.hold = hold = Hold(place)
    with monkeypatch.context() as patched:
        bound = asyncio.timeout(None)
        patched.setattr(alerting._Deadline, "claiming", lambda _: bound)
        telling = asyncio.create_task(passing.tell())
        assert await asyncio.to_thread(hold.reached.wait, 10)
        bound.reschedule(asyncio.get_running_loop().time())
        await telling
    assert "not done" in caplog.text
    assert desk.receiver.calls == 0
    await go_on(hold, tasks)
    await desk.make_pass("trigger")
    assert desk.receiver.told() == {1: 1, 2: 1}


async def test_pass_that_is_ended_in_its_claim(desk: Desk) -> None:
    desk.kill(2)
    passing, tasks = await desk.begin("trigger"), asyncio.all_tasks()
    desk.connector.hold = hold = Hold("commit")
    telling = asyncio.create_task(passing.tell())
    assert await asyncio.to_thread(hold.reached.wait, 10)
    telling.cancel()
    await asyncio.wait([telling])
    assert telling.cancelled()
    await go_on(hold, tasks)
    await desk.make_pass("trigger")
    assert desk.receiver.told() == {1: 1, 2: 1}


async def test_nothing_is_claimed_when_there_is_no_time_to_send_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed(AlertLog):
        async def claim_dead(self, message: str, **bounds: int) -> DeadEntries | None:
            raise AssertionError("there is no time left for it")

    desk.kill(2)
    passing = await desk.begin("trigger")
    monkeypatch.setattr(alerting, "CLAIMING_SECONDS", 0.0)
    await replace(passing, alerting=replace(passing.alerting, store=Closed(desk.store.pool))).tell()
    assert "not done in time" in caplog.text


async def test_claim_whose_answer_is_lost(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.kill(2)
    passing, tasks = await desk.begin("trigger"), asyncio.all_tasks()
    desk.connector.hold = hold = Hold(loses_answer=True)
    await passing.tell()
    assert "is not known" in caplog.text
    await go_on(hold, tasks)
    await desk.make_pass("trigger")
    assert desk.receiver.told() == {1: 1, 2: 1}


def test_message_that_is_claimed_last_has_its_time_to_be_sent() -> None:
    note_seconds = 5
    assert alerting.CLAIMING_SECONDS + webhook.TIMEOUT_SECONDS + note_seconds <= alerting.ALERTING_SECONDS
