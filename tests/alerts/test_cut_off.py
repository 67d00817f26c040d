"""Claims that time out, are cancelled or lose their response: their events are released for the next pass."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.adapters import webhook
from orchestrator.adapters.store.alerts import AlertLog
from orchestrator.core import pass_budget
from orchestrator.core.alerts import DeadEntries
from orchestrator.usecases import alerting
from tests.alerts.conftest import Desk, Hold

#: How long a blocked claim must release nothing, in seconds; a wrong release would take far less.
QUIET_SECONDS = 0.1


async def go_on(hold: Hold, tasks: set[asyncio.Task[object]]) -> None:
    """Unblock a claim and wait until it and what follows it are done."""
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
        sending = asyncio.create_task(passing.send_alerts())
        assert await asyncio.to_thread(hold.reached.wait, 10)
        bound.reschedule(asyncio.get_running_loop().time())
        await sending
    assert "not done" in caplog.text
    assert desk.receiver.calls == 0
    await go_on(hold, tasks)
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 1, 2: 1}


async def test_pass_that_is_cancelled_during_its_claim(desk: Desk) -> None:
    desk.kill(2)
    passing, tasks = await desk.begin("trigger"), asyncio.all_tasks()
    desk.connector.hold = hold = Hold("commit")
    sending = asyncio.create_task(passing.send_alerts())
    assert await asyncio.to_thread(hold.reached.wait, 10)
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    await go_on(hold, tasks)
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 1, 2: 1}


async def test_nothing_is_claimed_without_time_to_send_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed(AlertLog):
        async def claim_dead(self, message: str, **bounds: int) -> DeadEntries | None:
            raise AssertionError("there is no time left for it")

    desk.kill(2)
    passing = await desk.begin("trigger")
    monkeypatch.setattr(alerting, "_CLAIMING_SECONDS", 0.0)
    await replace(passing, alerting=replace(passing.alerting, store=Closed(desk.store.pool))).send_alerts()
    assert "not done in time" in caplog.text


async def test_claim_whose_answer_is_lost(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.kill(2)
    passing, tasks = await desk.begin("trigger"), asyncio.all_tasks()
    desk.connector.hold = hold = Hold(loses_answer=True)
    await passing.send_alerts()
    assert "is not known" in caplog.text
    await go_on(hold, tasks)
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 1, 2: 1}


def test_last_claim_leaves_time_to_send_its_alert() -> None:
    note_seconds = 5
    assert (
        alerting._CLAIMING_SECONDS + webhook._TIMEOUT_SECONDS + note_seconds <= pass_budget.ALERTING_SECONDS
    )
