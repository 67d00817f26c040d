"""One event, one alert: across passes, instances and failing receivers."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.pool import Pool
from orchestrator.core import pass_budget
from orchestrator.core.actions import RETRY
from tests.alerts.conftest import Desk


async def test_failures_of_a_pass_are_one_alert(desk: Desk) -> None:
    desk.kill(199)
    desk.kill(table="orders", error="no\nsuch file " + "x" * 300)
    await desk.make_pass("trigger")
    await desk.make_pass("monitor")
    [message] = desk.receiver.taken
    assert (message["title"], len(message["entries"])) == ("200 entries went DEAD", 20)
    assert all(len(row["error"]) <= 200 for row in message["entries"])
    assert "secret-8462" not in str(desk.receiver.taken)


async def test_entry_that_goes_dead_again_is_reported_again(desk: Desk) -> None:
    desk.kill()
    await desk.make_pass("trigger")
    assert await Operations(desk.store.pool).change(RETRY, [1])
    desk.pass_time(60)
    desk.execute("UPDATE track_processing SET status = 'DEAD', finished_at = utc_now() WHERE id = 1")
    await desk.make_pass("trigger")
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 2}


async def test_entries_that_go_dead_at_the_same_moment(desk: Desk) -> None:
    desk.kill(2)
    desk.execute("UPDATE track_processing SET status = 'RUNNING', runid = 7, submission = 1 WHERE id = 2")
    await desk.make_pass("trigger")
    desk.execute(
        "UPDATE track_processing SET status = 'DEAD',"
        " finished_at = (SELECT finished_at FROM track_processing WHERE id = 1) WHERE id = 2"
    )
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 1, 2: 1}


async def test_distant_past_is_not_reported(desk: Desk) -> None:
    desk.kill(3)
    desk.pass_time(25 * 3600)
    desk.kill(1)
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {4: 1}


async def test_refused_alert_is_sent_by_the_next_pass(desk: Desk) -> None:
    desk.kill(2)
    desk.receiver.answers = [429, 503]
    await desk.make_pass("trigger")
    desk.kill(1)
    await desk.make_pass("trigger")
    assert desk.receiver.taken == []
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("answer", [500, "drop"])
async def test_alert_that_may_have_arrived_is_not_sent_again(
    desk: Desk, answer: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.kill()
    desk.receiver.answers = [answer]
    await desk.make_pass("trigger")
    await desk.make_pass("trigger")
    assert desk.receiver.calls == 1
    assert "may be lost" in caplog.text


async def test_two_concurrent_instances_send_one_alert(desk: Desk) -> None:
    other = Store(Pool(desk.connector))
    desk.kill(30)
    before, now = await PassLog(desk.store.pool).passes(), await desk.store.now()
    await asyncio.gather(
        *(
            desk.alerting(store)("trigger", before, now)
            for store in (desk.store, other, desk.store, other, desk.store)
        )
    )
    await other.pool.close()
    [message] = desk.receiver.taken
    assert message["count"] == 30


async def test_store_error_is_only_a_warning(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.execute("DROP TABLE orchestrator_alert")
    await desk.make_pass("monitor")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "no such table" in caplog.text


async def test_receiver_that_hangs_ends_with_the_pass(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pass_budget, "ALERTING_SECONDS", 0.2)
    desk.kill()
    desk.receiver.answers = ["hang"]
    await desk.make_pass("monitor")
    assert "not done" in caplog.text
    assert "alert may be lost" in caplog.text


async def test_old_claims_are_deleted_and_their_entries_not_reported_again(desk: Desk) -> None:
    desk.kill(3)
    await desk.make_pass("trigger")
    desk.pass_time(3 * 24 * 3600)
    await desk.make_pass("trigger")
    assert desk.execute("SELECT COUNT(*) FROM orchestrator_alert WHERE kind = 'dead'") == [(0,)]
    await desk.make_pass("trigger")
    assert desk.receiver.reported() == {1: 1, 2: 1, 3: 1}


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    passes=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([200, 202, 400, 429, 503, 500, "drop"])), max_size=5
    )
)
async def test_every_dead_entry_is_in_exactly_one_alert(
    desk: Desk, passes: list[tuple[int, int | str]]
) -> None:
    """Whatever the receiver does. An alert without a response may have arrived and is not sent again."""
    desk.execute("DELETE FROM orchestrator_alert")
    desk.execute("DELETE FROM track_processing")
    desk.receiver.taken, desk.receiver.doubtful = [], []
    for number, (count, answer) in enumerate(passes):
        desk.kill(count)
        desk.receiver.answers = [answer]
        await desk.make_pass("trigger" if number % 2 else "monitor")
    desk.receiver.answers = []
    await desk.make_pass("trigger")
    desk.receiver.taken += desk.receiver.doubtful
    ids = [row[0] for row in desk.execute("SELECT id FROM track_processing WHERE status = 'DEAD'")]
    assert desk.receiver.reported() == dict.fromkeys(ids, 1)
