"""Trigger, submit and monitor with the real SQLite store, one situation at a time."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import NoCapacity, RequestRefused, StoreError, Unauthorized, WorkspaceUnavailable
from orchestrator.models import Claim, Entry, Run
from orchestrator.states import Status
from orchestrator.store.sqlite import SqliteConnector
from orchestrator.store.store import Store
from orchestrator.together import all_of
from tests.use_cases.world import POLICY, UNAVAILABLE, World


async def test_a_row_from_insert_to_done(world: World) -> None:
    [entry_id] = await world.add("sales")
    assert await world.trigger() == []
    assert world.queue.sent == [Claim(entry_id=entry_id, submission=1)]
    await world.deliver()
    [request] = world.databricks.requests
    assert (request.job_id, request.parameters) == (5, {"table_name": "sales"})
    assert await world.monitor() == []
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid) == (Status.RUNNING, 1000)
    world.databricks.end(1000, "SUCCESS")
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.DONE


async def test_failed_run_is_retried_until_its_attempts_are_spent(world: World) -> None:
    [entry_id] = await world.add("sales")
    for attempt in (1, 2, 3):
        await world.trigger()
        await world.deliver()
        entry = await world.entry(entry_id)
        assert (entry.status, entry.attempt, entry.submission) == (Status.RUNNING, attempt, attempt)
        world.databricks.end(entry.runid or 0, "FAILED")
        await world.monitor()
        world.pass_time(3600)
    dead = await world.entry(entry_id)
    assert (dead.status, dead.last_error) == (Status.DEAD, "FAILED: task of 1002 failed")
    logs = await world.store.logs(entry_id)
    assert [log.status for log in logs] == [Status.FAILED, Status.FAILED, Status.DEAD]
    assert len({log.runid for log in logs}) == 3
    assert logs[0].error_trace == "Traceback …"


async def test_nothing_is_claimed_when_the_active_runs_cannot_be_listed(world: World) -> None:
    [entry_id] = await world.add("sales")
    [in_eu] = await world.add("orders", workspace="eu")
    world.databricks.down = Unauthorized("token not accepted", status=401)
    [problem] = await world.trigger()
    assert "workspace default: nothing claimed" in problem
    assert (await world.entry(entry_id)).status is Status.PENDING
    assert (await world.entry(in_eu)).status is Status.QUEUED  # the other workspace is not hindered


@pytest.mark.parametrize("error", [UNAVAILABLE, Unauthorized("no"), WorkspaceUnavailable("429", status=429)])
async def test_failing_workspace_never_fails_a_row(world: World, error: WorkspaceUnavailable) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.errors = [error]
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.attempt) == (Status.QUEUED, 0)
    await world.monitor()
    assert world.queue.sent == []
    world.pass_time(31)
    await world.monitor()
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def test_lost_answer_finds_the_same_run_again(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    world.pass_time(31)
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
    assert await world.store.retry(entry_id)
    await world.trigger()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, entry.submission) == (Status.RUNNING, 1000, 1)
    assert list(world.databricks.runs) == [1000]


async def test_refused_row_whose_cancellation_is_asked_for_is_canceled(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    begin = world.store.begin_submission

    async def cancelled_just_after(claim: Claim, lease_seconds: float) -> Entry | None:
        entry = await begin(claim, lease_seconds)
        await world.store.request_cancel(claim.entry_id)
        return replace(entry, cancel_requested=True) if entry else None

    world.store.begin_submission = cancelled_just_after  # type: ignore[method-assign]  # a moment to meet
    world.databricks.errors = [RequestRefused("no", status=404, error_code="", permanent=True)]
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.CANCELED


async def test_call_that_was_turned_away_leaves_no_doubt(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    turned_away = Unauthorized("token not accepted", status=401)
    turned_away.in_doubt = False
    world.databricks.errors = [turned_away]
    await world.deliver()
    assert (await world.entry(entry_id)).deliveries == 0
    gone = RequestRefused("no such job", status=404, error_code="RESOURCE_DOES_NOT_EXIST", permanent=True)
    world.databricks.errors = [gone]
    await world.submit(Claim(entry_id=entry_id, submission=1))
    [log] = await world.store.logs(entry_id)
    assert (log.status, log.message) == (Status.DEAD, "no such job")


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


async def test_no_capacity_spends_no_attempt(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.errors = [NoCapacity("already 10 active runs", status=429)]
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.attempt) == (Status.PENDING, 0)
    assert await world.store.logs(entry_id) == []


async def test_skipped_run_spends_no_attempt(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "MAXIMUM_CONCURRENT_RUNS_REACHED", "SKIPPED")
    await world.monitor()
    waiting = await world.entry(entry.id)
    assert (waiting.status, waiting.attempt) == (Status.PENDING, 0)
    world.pass_time(61)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry.id)).runid == 1001  # a new token, so a new run


@pytest.mark.parametrize(
    ("permanent", "status"), [(True, Status.DEAD), (False, Status.FAILED)], ids=["for good", "for now"]
)
async def test_refused_row(world: World, permanent: bool, status: Status) -> None:
    bad, good = await world.add("bad", "good")
    await world.trigger()
    world.databricks.errors = [
        RequestRefused("no such job", status=404, error_code="RESOURCE_DOES_NOT_EXIST", permanent=permanent)
    ]
    await world.deliver()
    assert (await world.entry(bad)).status is status
    assert (await world.entry(good)).status is Status.RUNNING
    [log] = await world.store.logs(bad)
    assert (log.message, log.runid) == ("no such job", None)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"parameters": "not json"}, "not valid JSON"),
        ({"parameters": '{"a": "' + "x" * 20_000 + '"}'}, "20,009 bytes"),
        ({"workspace": "nowhere"}, "workspace is unknown to the settings; known: default, eu"),
    ],
)
async def test_invalid_row_ends_dead_and_stops_no_other(
    world: World, fields: dict[str, str], text: str
) -> None:
    [bad] = await world.add("bad", **fields)
    [good] = await world.add("good")
    assert await world.trigger() == []
    await world.deliver()
    entry = await world.entry(bad)
    assert entry.status is Status.DEAD
    assert text in (entry.last_error or "")
    [log] = await world.store.logs(bad)
    assert log.status is Status.DEAD
    assert (await world.entry(good)).status is Status.RUNNING


async def test_row_made_invalid_after_an_uncertain_call_keeps_its_token(world: World, tmp_path: Path) -> None:
    [entry_id] = await world.add("sales", parameters="{}")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    [claim] = world.queue.sent
    await world.deliver()
    connection = SqliteConnector(tmp_path / "state.db").connect().connection
    connection.cursor().execute("UPDATE track_processing SET parameters = 'oops'")
    await world.submit(claim)
    dead = await world.entry(entry_id)
    assert (dead.status, dead.submission) == (Status.DEAD, 1)
    assert "not valid JSON" in (dead.last_error or "")
    connection.cursor().execute("UPDATE track_processing SET parameters = '{}'")
    connection.close()
    await world.store.retry(entry_id)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry_id)).runid == 1000


async def test_message_delivered_twice_makes_one_run(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    await world.submit(claim)
    await world.submit(claim)
    assert (await world.entry(entry_id)).attempt == 1
    assert len(world.databricks.requests) == 1


async def test_message_of_a_row_that_is_gone(world: World) -> None:
    await world.submit(Claim(entry_id=10**12, submission=1))
    assert world.databricks.requests == []


class SlowStore(Store):
    """Lets something happen between Databricks' answer and its being stored."""

    async def record_run(self, claim: Claim, run_id: int) -> bool:
        await self.meanwhile()
        return await super().record_run(claim, run_id)

    async def meanwhile(self) -> None:
        """What the rest of the world does."""


async def test_run_that_the_row_went_on_without_is_cancelled(world: World, tmp_path: Path) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    slow = SlowStore(SqliteConnector(tmp_path / "state.db"))
    other = SqliteConnector(tmp_path / "state.db").connect().connection

    async def give_up_the_row() -> None:
        other.cursor().execute("UPDATE track_processing SET status = 'CANCELED' WHERE id = ?", (entry_id,))

    slow.meanwhile = give_up_the_row  # type: ignore[method-assign]  # the point of the class
    fast, world.store = world.store, slow
    await world.deliver()
    world.store = fast
    other.close()
    await slow.close()
    assert world.databricks.cancelled == [1000]


async def test_run_recorded_by_another_delivery_is_left_alone(world: World, tmp_path: Path) -> None:
    await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    slow = SlowStore(SqliteConnector(tmp_path / "state.db"))
    fast, world.store = world.store, slow

    async def the_other_delivery() -> None:
        assert await fast.record_run(claim, 1000)

    slow.meanwhile = the_other_delivery  # type: ignore[method-assign]  # the point of the class
    await world.deliver()
    world.store = fast
    await slow.close()
    assert world.databricks.cancelled == []


async def test_cancelling_a_running_row_cancels_its_run_first(world: World) -> None:
    entry = await world.running()
    await world.store.request_cancel(entry.id)
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    assert (await world.entry(entry.id)).status is Status.RUNNING  # until the run is seen to be over
    await world.monitor()
    cancelled = await world.entry(entry.id)
    assert cancelled.status is Status.CANCELED
    [log] = await world.store.logs(entry.id)
    assert (log.status, log.result_state) == (Status.CANCELED, "CANCELED")


async def test_cancelling_a_row_whose_answer_was_lost_finds_and_cancels_the_run(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.lost_answer = UNAVAILABLE
    await world.deliver()
    await world.store.request_cancel(entry_id)
    world.pass_time(31)
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.QUEUED
    await world.deliver()
    await world.monitor()
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    assert (await world.entry(entry_id)).status is Status.CANCELED


async def test_run_over_its_time_is_cancelled_and_fails(world: World) -> None:
    world.policy = replace(POLICY, run_timeout_seconds=100)
    entry = await world.running()
    world.pass_time(99)
    await world.monitor()
    assert world.databricks.cancelled == []
    world.pass_time(2)
    await world.monitor()
    await world.monitor()
    assert world.databricks.cancelled == [1000]
    failed = await world.entry(entry.id)
    assert failed.status is Status.FAILED
    assert "RUN_TIMEOUT_SECONDS" in (failed.last_error or "")


async def test_run_that_is_gone_fails_with_a_log_row(world: World) -> None:
    entry = await world.running()
    del world.databricks.runs[1000]
    await world.monitor()
    assert (await world.entry(entry.id)).status is Status.FAILED
    [log] = await world.store.logs(entry.id)
    assert log.life_cycle_state == "NOT_FOUND"


async def test_run_in_a_state_not_known_today_stays_running(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "WHO_KNOWS", "A_STATE_OF_TOMORROW")
    assert await world.monitor() == []
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_one_run_that_cannot_be_read_hinders_no_other(world: World) -> None:
    ids = await world.add(*(f"t{n}" for n in range(10)))
    await world.trigger()
    await world.deliver()
    for run_id in list(world.databricks.runs):
        world.databricks.end(run_id, "SUCCESS")
    world.databricks.unreadable = {1000}
    [problem] = await world.monitor()
    assert "wrong shape" in problem
    states = [(await world.entry(entry_id)).status for entry_id in ids]
    assert states.count(Status.DONE) == 9


async def test_queue_that_takes_nothing_loses_nothing(world: World) -> None:
    [entry_id] = await world.add("sales")
    world.queue.full = True
    [problem] = await world.trigger()
    assert "1 of 1 messages were not taken" in problem
    world.queue.full = False
    await world.monitor()
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def test_caps_are_per_workspace(world: World) -> None:
    world.eu.foreign = {1}
    await world.add(*(f"t{n}" for n in range(12)))
    await world.add(*(f"t{n}" for n in range(12)), workspace="eu")
    await world.trigger()
    counts = await world.store.counts()
    assert (counts["default"][Status.QUEUED], counts["eu"][Status.QUEUED]) == (10, 1)


async def test_monitoring_asks_once_for_all_active_runs(world: World) -> None:
    await world.add(*(f"t{n}" for n in range(10)))
    await world.trigger()
    await world.deliver()
    world.databricks.unreadable = set(world.databricks.runs)  # any runs/get would be a problem
    assert await world.monitor() == []


async def test_runs_that_can_never_be_read_do_not_block_the_others(world: World) -> None:
    """Ten of them come first by id; the eleventh has ended and is settled all the same."""
    ids = await world.add(*(f"t{n:02}" for n in range(10)))
    world.databricks.foreign = set()
    await world.trigger()
    await world.deliver()
    world.databricks.unreadable = set(world.databricks.runs)
    for run_id in list(world.databricks.runs):
        world.databricks.end(run_id, "SUCCESS")
    last = ids[-1]
    run_id = (await world.entry(last)).runid or 0
    world.databricks.unreadable.discard(run_id)
    for _ in range(20):
        await world.monitor()
    assert (await world.entry(last)).status is Status.DONE


async def test_dead_workspace_is_not_pressed(world: World) -> None:
    world.databricks.foreign = set()
    entries = [await world.running(f"t{n}") for n in range(10)]
    calls = 0

    async def fail(run_id: int) -> Run:
        nonlocal calls
        calls += 1
        raise UNAVAILABLE

    for entry in entries:
        world.databricks.end(entry.runid or 0, "SUCCESS")
    world.databricks.get_run = fail  # type: ignore[method-assign]  # the look-ups alone fail
    monkeyed = [*await world.store.running("default")] * 4
    world.store.running = lambda workspace: _return(monkeyed if workspace == "default" else [])  # type: ignore[method-assign]
    await world.monitor()
    assert calls == 10


async def _return(entries: list[Entry]) -> list[Entry]:
    return entries


async def test_store_that_refuses_one_row_hinders_no_other(world: World, tmp_path: Path) -> None:
    bad, good = await world.running("bad"), await world.running("good")
    connection = SqliteConnector(tmp_path / "state.db").connect().connection
    connection.cursor().execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON process_log WHEN NEW.entry_id = 1"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    connection.close()
    for entry in (bad, good):
        world.databricks.end(entry.runid or 0, "SUCCESS")
    [other] = await world.add("other", workspace="eu")
    [problem] = await world.trigger()
    assert "not this one" in problem
    assert (await world.entry(bad.id)).status is Status.RUNNING
    assert (await world.entry(good.id)).status is Status.DONE
    assert (await world.entry(other)).status is Status.QUEUED


async def test_rows_with_runs_in_a_workspace_that_was_removed_are_named(world: World, tmp_path: Path) -> None:
    entry = await world.running("sales")
    connection = SqliteConnector(tmp_path / "state.db").connect().connection
    connection.cursor().execute("UPDATE track_processing SET workspace = 'removed'")
    connection.close()
    [problem] = await world.monitor()
    assert "workspaces that the settings do not know: removed" in problem
    assert (await world.entry(entry.id)).status is Status.RUNNING


async def test_name_of_a_workspace_cannot_forge_a_log_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await world.add("sales", workspace="eu\nERROR all is lost")
    await world.trigger()
    assert "claimed 1 rows" in caplog.text
    assert not [line for line in caplog.text.splitlines() if line.startswith("ERROR")]


@pytest.mark.parametrize("state", ["BLOCKED", "WAITING_FOR_RETRY"])
async def test_cancellation_reaches_runs_that_are_not_listed_as_active(world: World, state: str) -> None:
    entry = await world.running()
    world.databricks.runs[1000] = Run(run_id=1000, life_cycle_state=state)
    await world.store.request_cancel(entry.id)
    await world.monitor()
    assert world.databricks.cancelled == [1000]


async def test_message_of_an_older_submission_is_stale(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    world.pass_time(3600)
    await world.trigger()
    await world.submit(Claim(entry_id=entry.id, submission=1))
    assert len(world.databricks.requests) == 1
    assert (await world.entry(entry.id)).status is Status.QUEUED


async def test_nothing_goes_on_after_a_pass_has_failed() -> None:
    """A command line closes the store right after a pass, whatever became of it."""
    ended: list[str] = []

    async def fails() -> None:
        raise StoreError("no database")

    async def takes_longer() -> None:
        await asyncio.sleep(0.05)
        ended.append("done")

    with pytest.raises(StoreError):
        await all_of([fails(), takes_longer()])
    assert ended == ["done"]
