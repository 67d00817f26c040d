"""Give up an entry whose calls are never answered, but never because of an outage of its workspace."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.core import decisions
from orchestrator.core.errors import DatabricksError, NoCapacity, RequestRefused, WorkspaceUnavailable
from orchestrator.core.models import Claim, Entry, RunRequest, Verdict
from orchestrator.core.states import Status
from orchestrator.usecases import refusals
from tests.fakes import UNAVAILABLE, FakeRuns
from tests.use_cases.answering import answering, never
from tests.world import World, policy, workspace

LIMIT = policy().max_deliveries


#: Waits of a call are not longer; what was accepted a minute before still shows that calls are accepted.
MINUTES = 310


def lose_answers(databricks: FakeRuns, monkeypatch: pytest.MonkeyPatch, *, effect: bool = False) -> None:
    """Lose the answer of each ``run-now`` but those of the table ``good``, which are accepted."""
    run_now = databricks.run_now

    async def lost(request: RunRequest) -> int:
        if request.parameters == {"table_name": "good"}:
            return await run_now(request)
        if effect:
            await run_now(request)
        databricks.requests.append(request)
        raise WorkspaceUnavailable("HTTP 500 INTERNAL_ERROR", status=500)

    monkeypatch.setattr(databricks, "run_now", lost)


def calls(world: World, entry: Entry) -> list[RunRequest]:
    """Return the calls for an entry."""
    return [each for each in world.databricks.requests if each.idempotency_token.startswith(entry.entry_guid)]


async def accept_another(world: World) -> None:
    """Let the workspace accept the call of another entry, and bring it to its end."""
    await world.add("good", priority=1)
    await world.trigger()
    await world.deliver()
    for run_id, run in world.databricks.runs.items():
        if run.life_cycle_state == "RUNNING" and await world.store.running_run("default", run_id):
            world.databricks.end(run_id, "SUCCESS")


async def deliver_until_given_up(world: World, entry_id: int) -> None:
    for _ in range(3 * LIMIT):
        await accept_another(world)
        world.database.pass_time(MINUTES)
        if (await world.entry(entry_id)).status is not Status.QUEUED:
            return
    raise AssertionError("never given up")


async def test_entry_without_any_answer_ends_dead_while_others_are_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    await deliver_until_given_up(world, entry_id)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.submission, entry.runid) == (Status.DEAD, 1, None)
    assert LIMIT <= len(calls(world, entry)) <= LIMIT + 1, "the first may come before others are accepted"
    assert {request.idempotency_token for request in calls(world, entry)} == {f"{entry.entry_guid}-1"}
    assert entry.last_error is not None
    assert entry.last_error.startswith(f"given up: {LIMIT} calls started no run")
    assert "HTTP 500 INTERNAL_ERROR" in entry.last_error
    assert await world.store.logs(entry_id) == [], "the submission is not settled"


async def test_entry_is_given_up_where_it_was_called_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.workspaces = {"default": replace(workspace(), address="https://here")}
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    await deliver_until_given_up(world, entry_id)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.workspace_address) == (Status.DEAD, "https://here")


async def test_retry_of_an_entry_that_was_given_up_finds_its_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    with monkeypatch.context() as patch:
        lose_answers(world.databricks, patch, effect=True)
        await deliver_until_given_up(world, entry_id)
    assert await world.retry(entry_id)
    await world.trigger()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.submission) == (Status.RUNNING, 1)
    assert world.databricks.by_token[f"{entry.entry_guid}-1"] == entry.runid


async def test_retried_entry_starts_with_fresh_deliveries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    await deliver_until_given_up(world, entry_id)
    before = len(calls(world, await world.entry(entry_id)))
    await world.retry(entry_id)
    await deliver_until_given_up(world, entry_id)
    now = len(calls(world, await world.entry(entry_id)))
    assert now - before == LIMIT - 1, "one stands for the doubt that is left"
    assert (await world.entry(entry_id)).submission == 1


async def test_outage_never_ends_an_entry(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.down = UNAVAILABLE
    for _ in range(3 * LIMIT):
        await world.deliver()
        world.database.pass_time(policy().submit_lease_seconds)
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
async def test_calls_that_certainly_had_no_effect_do_not_count(world: World, error: DatabricksError) -> None:
    [entry_id] = await world.add("sales")
    if isinstance(error, WorkspaceUnavailable):
        error.in_doubt = False
    for _ in range(2 * LIMIT):
        world.databricks.errors = []
        await world.trigger()
        world.databricks.errors = [error]
        await world.deliver()
        world.database.pass_time(policy().submit_lease_seconds)
    entry = await world.entry(entry_id)
    assert entry.status in {Status.QUEUED, Status.PENDING}
    assert (entry.deliveries, entry.attempt) == (0, 0)


async def test_calls_that_end_the_process_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    [entry_id] = await world.add("sales")

    async def die(_request: RunRequest) -> int:
        raise SystemExit

    await world.trigger()
    world.queue.sent = []
    with monkeypatch.context() as patch:
        patch.setattr(world.databricks, "run_now", die)
        for _ in range(LIMIT):
            with pytest.raises(SystemExit):
                await world.submit(Claim(entry_id=entry_id, submission=1))
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.QUEUED, "its lease is not over"
    world.database.pass_time(policy().submit_lease_seconds)
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.QUEUED, "nothing shows that others are accepted"
    world.database.pass_time(policy().submit_lease_seconds)
    [other] = await world.add("other")
    await world.trigger()
    world.queue.sent = [claim for claim in world.queue.sent if claim.entry_id == other]
    await world.deliver()
    await world.store.postpone(Claim(entry_id=entry_id, submission=1), seconds=0, reason="its process ended")
    await world.monitor()
    entry = await world.entry(entry_id)
    assert entry.status is Status.DEAD
    assert "its process ended" in (entry.last_error or "")


async def test_outage_of_run_now_alone_ends_no_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await world.add("a", "b")
    with monkeypatch.context() as patch:
        lose_answers(world.databricks, patch)
        for _ in range(2 * LIMIT):
            await world.trigger()
            await world.deliver()
            world.database.pass_time(policy().submit_lease_seconds)
    assert [(await world.entry(entry_id)).status for entry_id in ids] == [Status.QUEUED] * 2
    await world.trigger()
    await world.deliver()
    assert [(await world.entry(entry_id)).status for entry_id in ids] == [Status.RUNNING] * 2


async def test_entry_is_given_up_while_others_are_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, worse = await world.add("bad", "worse")
    lose_answers(world.databricks, monkeypatch)
    for _ in range(2 * LIMIT):
        await world.trigger()
        await world.deliver()
        world.database.pass_time(policy().submit_lease_seconds)
    alone = [await world.entry(entry_id) for entry_id in (bad, worse)]
    assert [entry.status for entry in alone] == [Status.QUEUED] * 2, "nothing shows that calls are accepted"
    assert all((entry.deliveries, entry.in_doubt) == (1, True) for entry in alone), (
        "what nobody accepts counts for nothing"
    )
    await deliver_until_given_up(world, bad)
    assert (await world.entry(bad)).status is Status.DEAD


def refuse_for_unknown_reasons(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer each ``run-now`` of the table ``bad`` with something that the app does not understand."""
    run_now = world.databricks.run_now

    async def answer(request: RunRequest) -> int:
        if request.parameters == {"table_name": "bad"}:
            error = WorkspaceUnavailable("HTTP 400 SOMETHING_NEW: not this one", status=400)
            error.answered = True
            raise error
        return await run_now(request)

    monkeypatch.setattr(world.databricks, "run_now", answer)


def hide_jobs(world: World, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    """Let the workspace show no job while a call is judged: what is asked then gets no answer."""
    usual = getattr(refusals.Refusals, after)

    async def hidden(self: refusals.Refusals, *arguments: Any, **more: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(world.databricks, "get_job", lambda _: never())
            return await usual(self, *arguments, **more)

    monkeypatch.setattr(refusals.Refusals, after, hidden)
    monkeypatch.setattr(refusals, "_PROBE_SECONDS", 0.01)


async def test_a_job_that_is_not_shown_in_time_tells_nothing_of_the_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are accepted, but the call is one of those that an overloaded workspace does not answer."""
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    hide_jobs(world, monkeypatch, "unanswered")
    for _ in range(4):
        await accept_another(world)
        world.database.pass_time(MINUTES)
    entry = await world.entry(entry_id)
    assert len(calls(world, entry)) == 4
    assert entry.deliveries <= 2, "none of them counts, however many there are"


async def test_a_refusal_without_words_is_not_believed_while_no_job_is_shown_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    refused = RequestRefused("HTTP 403", status=403, error_code="", permanent=True)
    refused.is_worded = False
    hide_jobs(world, monkeypatch, "refused")
    await world.trigger()
    world.databricks.errors = [refused]
    await world.deliver()
    entry = await world.entry(entry_id)
    assert entry.status is Status.QUEUED
    assert (entry.last_error or "").startswith("HTTP 403; nor can the job be read")


async def test_answer_that_nobody_understands_ends_no_entry_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [bad] = await world.add("bad")
    refuse_for_unknown_reasons(world, monkeypatch)
    for _ in range(3 * LIMIT):
        await world.trigger()
        await world.deliver()
        world.database.pass_time(policy().submit_lease_seconds)
    entry = await world.entry(bad)
    assert (entry.status, entry.deliveries) == (Status.QUEUED, 1)
    assert "SOMETHING_NEW: not this one" in (entry.last_error or "")


async def test_answer_that_nobody_understands_ends_its_entry_while_others_are_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [bad] = await world.add("bad")
    refuse_for_unknown_reasons(world, monkeypatch)
    for number in range(2 * LIMIT):
        await world.add(f"good {number}", priority=1)
        await world.trigger()
        await world.deliver()
        for run_id in list(world.databricks.runs):
            world.databricks.end(run_id, "SUCCESS")
        world.database.pass_time(300)
    entry = await world.entry(bad)
    assert entry.status is Status.DEAD
    assert "SOMETHING_NEW: not this one" in (entry.last_error or "")


async def test_an_entry_is_given_up_for_words_that_nobody_understands(tmp_path: Path) -> None:
    """Over HTTP: a whole workspace that answers so ends nothing; one entry beside others is given up."""
    async with answering(tmp_path) as world:
        accept = world.api._run_now
        refused: list[str] = []

        def run_now(body: dict[str, Any]) -> web.Response:
            if body["job_id"] != 66 and others_are_accepted:
                return accept(body)
            refused.append(body["idempotency_token"])
            words = {"error_code": "SOMETHING_NEW", "message": "quux is not frobnicated"}
            return web.json_response(words, status=400)

        world.api._run_now = run_now  # type: ignore[method-assign]
        others_are_accepted = False
        bad, good = await world.add("bad", job_id=66), await world.add("good")
        for _ in range(3 * LIMIT):
            await world.next_pass(MINUTES)
        for entry_id in (*bad, *good):
            assert (await world.entry(entry_id)).status is Status.QUEUED
        refused.clear()
        others_are_accepted = True
        for number in range(2 * LIMIT):
            await world.add(f"good {number}", priority=1)
            await world.next_pass(MINUTES)
        entry = await world.entry(*bad)
        assert (entry.status, entry.runid) == (Status.DEAD, None)
        assert (entry.last_error or "").startswith("given up: ")
        assert "SOMETHING_NEW: quux is not frobnicated" in (entry.last_error or "")
        assert set(refused) == {f"{entry.entry_guid}-1"}
        assert len(refused) <= LIMIT
        assert (await world.entry(*good)).status is Status.RUNNING


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, {"error_code": "PERMISSION_DENIED", "message": "You are not allowed to do this"}),
        (403, {"message": "Forbidden"}),
        (400, {"error_code": "SOMETHING_NEW", "message": "not this one"}),
    ],
)
async def test_an_entry_whose_job_may_be_neither_run_nor_read_is_given_up(
    tmp_path: Path, status: int, words: dict[str, str]
) -> None:
    """A refusal is an answer; when all jobs are refused it may be maintenance, which ends nothing."""
    async with answering(tmp_path) as world:
        others_are_accepted = False

        def refusing(usual: Callable[[dict[str, Any]], web.Response]) -> Any:
            def answer(body: dict[str, Any]) -> web.Response:
                if others_are_accepted and int(body["job_id"]) != 66:
                    return usual(body)
                return web.json_response(words, status=status)

            return answer

        world.api._run_now = refusing(world.api._run_now)  # type: ignore[method-assign]
        world.api._get_job = refusing(world.api._get_job)  # type: ignore[method-assign]
        bad, good = await world.add("bad", job_id=66), await world.add("good")
        for _ in range(3 * LIMIT):
            await world.next_pass(MINUTES)
        for entry_id in (*bad, *good):
            assert (await world.entry(entry_id)).status is Status.QUEUED
        others_are_accepted = True
        for number in range(2 * LIMIT):
            await world.add(f"good {number}", priority=1)
            await world.next_pass(MINUTES)
        entry = await world.entry(*bad)
        assert (entry.status, entry.runid) == (Status.DEAD, None)
        assert (entry.last_error or "").startswith("given up: ")
        assert (await world.entry(*good)).status is Status.RUNNING


async def test_nothing_is_given_up_while_a_call_is_in_progress(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    claim = Claim(entry_id=entry_id, submission=1)
    run_now = world.databricks.run_now
    with monkeypatch.context() as patch:
        lose_answers(world.databricks, patch)
        for _ in range(LIMIT - 1):
            await world.submit(claim)
    answers = [UNAVAILABLE]

    async def slow(request: RunRequest) -> int:
        if answers:
            answers.pop()
            await world.submit(claim)  # the same message again, and a pass, during this call
            await world.monitor()
        return await run_now(request)

    monkeypatch.setattr(world.databricks, "run_now", slow)
    await world.submit(claim)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, world.databricks.cancelled) == (Status.RUNNING, 1000, [])


async def test_late_run_of_an_entry_that_was_given_up_is_left_to_its_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    run_now = world.databricks.run_now

    async def slow(request: RunRequest) -> int:
        entry = await world.entry(entry_id)
        assert await world.store.leave_open(entry, Verdict(to=Status.DEAD, error="given up"))
        return await run_now(request)

    with monkeypatch.context() as patch:
        patch.setattr(world.databricks, "run_now", slow)
        await world.deliver()
    assert world.databricks.cancelled == []
    await world.retry(entry_id)
    await world.trigger()
    await world.deliver()
    assert (await world.entry(entry_id)).runid == 1000


async def test_entry_with_a_cancel_request_is_given_up_as_canceled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry_id] = await world.add("sales")
    lose_answers(world.databricks, monkeypatch)
    await world.trigger()
    await world.deliver()
    await world.cancel(entry_id)
    await deliver_until_given_up(world, entry_id)
    entry = await world.entry(entry_id)
    assert entry.status is Status.CANCELED
    assert entry.deliveries > 0, "purge leaves it, since there may be a run"


def test_each_resend_waits_longer_but_stays_within_the_lease() -> None:
    waits = [decisions.postponement_seconds(deliveries, policy()) for deliveries in (0, 1, 2, 3, 4, 5, 1000)]
    assert waits == [30, 30, 60, 120, 240, 300, 300]
    assert decisions.postponement_seconds(9, policy(submit_lease_seconds=5)) == 5
