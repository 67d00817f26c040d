"""A run belongs to the address that it was started at: two apps, two workspaces over HTTP, one database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.addresses import address_of
from orchestrator.core.models import Claim, Entry
from orchestrator.core.states import Status
from orchestrator.core.waiting import Reason
from orchestrator.usecases.operator import Operator
from orchestrator.usecases.overview import Overview
from orchestrator.usecases.settle import View
from orchestrator.usecases.timer_pass import OK, TIMER_FUNCTIONS
from tests.databricks.support import ManualClock, Tokens
from tests.use_cases.answering import UNAVAILABLE, AnsweredWorld, JobsApi, ended, goes_on, overview_at, served
from tests.world import Database, workspace

COMMAND = "python -m orchestrator workspace-moved default"

#: Makes an app whose setting names the server of a workspace.
MakeApp = Callable[[JobsApi], Awaitable[AnsweredWorld]]


@pytest.fixture
async def apps(tmp_path: Path) -> AsyncIterator[MakeApp]:
    database = Database(tmp_path)
    async with AsyncExitStack() as closing, aiohttp.ClientSession() as session:

        async def app(api: JobsApi) -> AnsweredWorld:
            host = await closing.enter_async_context(served(api))
            client = DatabricksClient(
                host=host, tokens=Tokens(), session=lambda: session, clock=ManualClock()
            )
            world = AnsweredWorld(
                store=Store(Pool(database.connector)),
                runs={"default": client},
                workspaces={"default": replace(workspace(cap=130), address=host)},
                api=api,
                database=database,
            )
            closing.push_async_callback(world.store.pool.close)
            return world

        yield app


def address(world: AnsweredWorld) -> str:
    return world.workspaces["default"].address


async def move(world: AnsweredWorld) -> list[int]:
    """Say, as an operator does, that the workspace is where this app's setting says."""
    reports = Reports(world.store.pool)
    operator = Operator(
        operations=Operations(world.store.pool), entries=world.store, reports=reports, inserts_refused=None
    )
    return await operator.move("default", address(world))


def overview(world: AnsweredWorld) -> Overview:
    return overview_at(world, address(world))


async def test_live_run_is_not_gone_because_another_workspace_does_not_know_it(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    for _ in range(5):
        problems = await after.trigger()
        await after.deliver()
        after.database.pass_time(3600)
        assert any(COMMAND in problem for problem in problems)
        assert (await after.entry(entry.id)).status is Status.RUNNING
        assert any(COMMAND in problem for problem in await after.monitor())
    assert (await after.entry(entry.id)).missing_since is None
    assert set(after.api.calls) == {"runs/list", "get"}  # "get": a job
    # The setting is mended: all goes on as if nothing had been.
    assert await before.monitor() == []
    before.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    assert await before.monitor() == []
    assert (await before.entry(entry.id)).status is Status.DONE
    assert (len(before.api.runs), len(after.api.runs)) == (1, 0)


async def test_nothing_new_is_claimed_or_called_while_a_run_is_elsewhere(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    [queued] = await before.add("stock")
    await before.trigger()
    messages, before.queue.sent = before.queue.sent, []
    await before.running()
    [waiting] = await after.add("orders")
    await after.trigger()
    await after.submit(messages[0])
    assert (await after.entry(waiting)).status is Status.PENDING
    left = await after.entry(queued)
    assert (left.status, left.deliveries, COMMAND in (left.last_error or "")) == (Status.QUEUED, 0, True)
    assert after.api.by_token == {}
    before.database.pass_time(3600)
    await before.trigger()
    await before.deliver()
    assert [(await before.entry(each)).status for each in (queued, waiting)] == [Status.RUNNING] * 2


async def test_foreign_run_of_the_same_id_is_neither_followed_nor_cancelled(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    after.api.runs[1000] = goes_on(job_id=99)
    await before.cancel(entry.id)
    await after.monitor()
    after.api.runs[1000] = ended("SUCCESS", "SUCCESS", job_id=99)
    await after.monitor()
    assert await after.notify(1000) is False
    assert ((await after.entry(entry.id)).status, after.api.cancelled) == (Status.RUNNING, [])
    await before.monitor()
    await before.monitor()
    assert ((await before.entry(entry.id)).status, before.api.cancelled) == (Status.CANCELED, [1000])


@pytest.mark.parametrize("mode", ["run", "repair"])
async def test_failed_entry_starts_anew_where_its_last_run_is_not(apps: MakeApp, mode: str) -> None:
    """A foreign run of the same id is no repair of its own, and its end no success of its own."""
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running(retry_mode=mode)
    before.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
    await before.monitor()
    after.api.runs[1000] = goes_on(job_id=99)
    after.api.by_token["somebody's"] = 1000
    for _ in range(3):
        await after.next_pass()
        assert await after.notify(1000) is False
    found = await after.entry(entry.id)
    assert (found.status, found.runid, found.attempt) == (Status.RUNNING, 1001, 2)
    assert (found.workspace_address, found.address_submission) == (address(after), 2)
    assert "runs/repair" not in after.api.calls
    # And the workspace of before does not judge the new one's run.
    before.api.runs[1001] = ended("SUCCESS", "SUCCESS")
    assert any(COMMAND in problem for problem in await before.monitor())
    assert (await before.entry(entry.id)).status is Status.RUNNING


async def test_repair_that_was_kept_for_another_address_is_not_sent(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running(retry_mode="repair")
    before.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
    await before.monitor()
    before.api.answers["runs/repair"] = (429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slower"})
    await before.next_pass()
    kept = await before.entry(entry.id)
    assert (kept.status, kept.deliveries, "latest_repair" in (kept.request or "")) == (Status.QUEUED, 0, True)
    after.database.pass_time(3600)
    await after.monitor()
    await after.deliver()
    found = await after.entry(entry.id)
    assert (found.status, found.workspace_address, list(after.api.runs)) == (
        Status.RUNNING,
        address(after),
        [1000],
    )
    assert "runs/repair" not in after.api.calls


async def test_call_in_doubt_is_repeated_only_where_it_was_made(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    [entry_id] = await before.add("sales")
    before.api.answers["run-now"] = (0, "")
    await before.trigger()
    await before.deliver()
    for _ in range(20):
        after.database.pass_time(3600)
        assert any(COMMAND in problem for problem in await after.trigger())
        await after.deliver()
    doubtful = await after.entry(entry_id)
    assert (doubtful.status, doubtful.workspace_address, after.api.by_token) == (
        Status.QUEUED,
        address(before),
        {},
    )
    del before.api.answers["run-now"]
    await before.next_pass()
    assert (await before.entry(entry_id)).status is Status.RUNNING


async def test_call_in_doubt_is_not_given_up_because_another_workspace_accepts(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    before.policy = after.policy = replace(before.policy, max_deliveries=1)
    [entry_id] = await before.add("sales")
    await before.trigger()
    messages, before.queue.sent = before.queue.sent, []
    await after.running("stock")
    before.database.execute(
        "UPDATE track_processing SET deliveries = 1, workspace_address = ? WHERE id = ?",
        address(before),
        entry_id,
    )
    before.database.execute(
        "INSERT INTO orchestrator_open_submission"
        " (entry_id, entry_guid, workspace, table_name, submission, begun_at)"
        " SELECT id, entry_guid, workspace, table_name, submission, updated_at FROM track_processing"
        " WHERE id = ?",
        entry_id,
    )
    assert messages[0].entry_id == entry_id
    before.database.pass_time(1000)
    await after.monitor()
    assert (await after.entry(entry_id)).status is Status.QUEUED


async def test_two_slots_of_one_app_never_double_a_run_and_never_wait_for_ever(apps: MakeApp) -> None:
    one, two = await apps(JobsApi()), await apps(JobsApi())
    ids = [*await one.add("a", "b", "c"), *await two.add("d", "e")]
    for _ in range(40):
        for app in (one, two, one):
            await app.trigger()
            await app.deliver()
            await app.monitor()
        live = [run for app in (one, two) for run in app.api.runs.values() if "end_time" not in run]
        running = [each for each in ids if (await one.entry(each)).status is Status.RUNNING]
        assert len(live) == len(running)
        for app in (one, two):
            for run_id in app.api.runs:
                app.api.runs[run_id] = ended("SUCCESS", "SUCCESS")
        one.database.pass_time(60)
    assert [(await one.entry(each)).status for each in ids] == [Status.DONE] * 5
    assert len(one.api.runs) + len(two.api.runs) == 5


async def test_of_two_apps_that_begin_at_the_same_moment_one_makes_its_call(apps: MakeApp) -> None:
    """Both have planned when nothing was open anywhere; the database lets only one begin."""
    one, two = await apps(JobsApi()), await apps(JobsApi())
    ids = await one.add("a", "b")
    await one.trigger()
    begin = two.store.begin_submission

    async def later(claim: Claim, lease_seconds: float, request: str, **more: Any) -> Entry | None:
        await one.submit(messages[0])
        return await begin(claim, lease_seconds, request, **more)

    two.store.begin_submission = later  # type: ignore[method-assign]  # hits the exact moment
    messages, one.queue.sent = one.queue.sent, []
    await two.submit(messages[1])
    assert [(await one.entry(each)).status for each in ids] == [Status.RUNNING, Status.QUEUED]
    assert (len(one.api.runs), len(two.api.runs)) == (1, 0)


async def test_runs_of_the_same_id_at_two_addresses_are_two_runs(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    first = await before.running("sales")
    before.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    await before.monitor()
    second = await after.running("orders")
    assert (first.runid, second.runid) == (1000, 1000)
    after.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    assert await after.monitor() == []
    for entry, world in ((first, before), (second, after)):
        found = await after.entry(entry.id)
        assert (found.status, found.workspace_address) == (Status.DONE, address(world))


async def test_moved_workspace(apps: MakeApp) -> None:
    """It kept its runs, or lost one: what it does not know is gone by the usual rule."""
    before, after = await apps(JobsApi()), await apps(JobsApi())
    kept, lost = await before.running("kept"), await before.running("lost")
    after.api.runs[1000] = goes_on()
    after.api.by_token |= {"kept": 1000, "lost": 1001}
    assert COMMAND in (await after.monitor())[0]
    assert await move(after) == [kept.id, lost.id]
    assert await move(after) == []
    after.database.pass_time(300)
    assert await after.monitor() == []
    assert [(await after.entry(each.id)).status for each in (kept, lost)] == [Status.RUNNING] * 2
    after.database.pass_time(60)
    assert await after.monitor() == []
    assert [(await after.entry(each.id)).status for each in (kept, lost)] == [Status.RUNNING, Status.FAILED]
    await after.next_pass()
    assert (await after.entry(lost.id)).runid == 1002


async def test_run_of_an_entry_that_is_deleted_after_the_move_is_cancelled_there(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    after.api.runs[1000] = goes_on()
    assert await move(after) == [entry.id]
    after.database.execute("DELETE FROM track_processing")
    assert await after.monitor() == await after.monitor() == []
    assert after.api.cancelled == [1000]


async def test_moved_workspace_with_an_id_of_an_adopted_table(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    before.database.execute(f"UPDATE track_processing SET id = -5 WHERE id = {entry.id}")
    assert await move(after) == [-5]


async def test_last_run_elsewhere_that_was_not_seen_over_needs_an_operator(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    operations = Operations(before.store.pool)
    await operations.change(resolve(Resolution.FAILED, "it hangs"), [entry.id])
    await before.retry(entry.id)
    await after.next_pass()
    waiting = await after.entry(entry.id)
    assert (waiting.status, waiting.deliveries, COMMAND in (waiting.last_error or "")) == (
        Status.QUEUED,
        0,
        True,
    )
    assert await move(after) == [entry.id]
    after.api.by_token["somebody's"] = 1000
    after.database.pass_time(3600)
    await after.monitor()
    await after.deliver()
    assert ((await after.entry(entry.id)).status, len(after.api.runs)) == (Status.RUNNING, 1)


async def test_run_that_nobody_wants_is_cancelled_only_where_it_is(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    before.api.runs[77] = goes_on()
    after.api.runs[77] = goes_on(job_id=99)
    await before.store.note_stray("default", 77, entry.id, job_id=5, address=address(before))
    before.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    await before.make_settle()(entry, View(began=await before.store.now()))
    assert (await before.entry(entry.id)).status is Status.DONE
    assert any(COMMAND in problem for problem in await after.monitor())
    assert after.api.cancelled == []
    await before.monitor()
    assert before.api.cancelled == [77]
    assert await move(after) == [entry.id]
    assert await after.monitor() == []
    assert after.api.cancelled == [], "somebody else's run has its number there"
    [stray] = await after.store.strays("default")
    assert "shows run 77 as one of job 99" in (stray.problem or "")
    after.api.runs[77] = ended("SUCCESS", "SUCCESS", job_id=99)
    assert await after.monitor() == []
    assert await after.store.strays("default") == []


async def test_what_another_address_accepted_says_nothing_of_this_one(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    before.api.runs[1000] = ended("SUCCESS", "SUCCESS")
    await before.monitor()
    assert (await before.entry(entry.id)).status is Status.DONE
    for world, accepted in ((before, True), (after, False)):
        here = address(world)
        assert await world.store.calls_accepted("default", within_seconds=600, address=here) is accepted


def set_workspace(world: AnsweredWorld, name: str) -> None:
    """Let all entries be of a workspace, as if it had been called so from the beginning."""
    for table in ("track_processing", "orchestrator_open_submission"):
        world.database.execute(f"UPDATE {table} SET workspace = ?", name)


async def test_two_apps_with_runs_and_doubts_of_their_own_bring_both_to_their_end(apps: MakeApp) -> None:
    """However it came about that both are open: neither waits for the other."""
    one, two = await apps(JobsApi()), await apps(JobsApi())
    two.api.by_token |= {f"somebody's {each}": each for each in range(1000, 1009)}
    ids: list[int] = []
    for app in (one, two):
        set_workspace(one, "aside")
        for answer in ({}, {"run-now": (0, "")}):
            app.api.answers = {**answer}
            ids += await app.add(f"{len(ids)}")
            await app.trigger()
            await app.deliver()
        app.api.answers = {}
    set_workspace(one, "default")
    for _ in range(4):
        for app in (one, two):
            app.database.pass_time(1000)
            for run_id in app.api.runs:
                app.api.runs[run_id] = ended("SUCCESS", "SUCCESS")
            await app.trigger()
            await app.deliver()
    assert [(await one.entry(each)).status for each in ids] == [Status.DONE] * 4
    assert (len(one.api.runs), len(two.api.runs)) == (2, 2)
    assert await one.trigger() == await two.trigger() == []


async def test_row_of_an_earlier_version_is_at_the_present_address(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    before.database.execute("UPDATE track_processing SET workspace_address = NULL")
    assert await before.monitor() == []
    assert (await before.entry(entry.id)).workspace_address == address(before)
    assert COMMAND in (await after.monitor())[0]


async def test_health_and_waiting_say_so_until_it_is_mended(apps: MakeApp) -> None:
    before, after = await apps(JobsApi()), await apps(JobsApi())
    entry = await before.running()
    await after.add("orders")
    log = PassLog(after.store.pool)
    for name in TIMER_FUNCTIONS:
        await log.pass_started(name)
        await log.pass_finished(name, OK)
    [reason] = (await overview(after).health()).reasons
    assert f"1 entry has its run or call at {address(before)} (for example entry {entry.id} since" in reason
    assert f"the settings say {address(after)}, but" in reason
    assert COMMAND in reason
    [waits] = await overview(after).waiting(None, 10)
    assert waits.reason is Reason.ELSEWHERE
    assert overview(after).run_page(entry) == f"{address(before)}/#job/5/run/1000"
    assert (await overview(before).health()).reasons == []
    assert [waits.reason for waits in await overview(before).waiting(None, 10)] == [Reason.NEXT]


async def test_address_that_does_not_answer_leaves_all_to_the_mended_one(apps: MakeApp) -> None:
    before, typo = await apps(JobsApi()), await apps(JobsApi(answers={"runs/list": UNAVAILABLE}))
    [entry_id] = await before.add("sales")
    for _ in range(3):
        await typo.next_pass()
    assert (await typo.entry(entry_id)).status is Status.PENDING
    await before.next_pass()
    assert (await before.entry(entry_id)).status is Status.RUNNING


@pytest.mark.parametrize(
    ("workspace_id", "address"),
    [(None, "https://adb-1.7.azuredatabricks.net"), (77, "https://adb-1.7.azuredatabricks.net/?o=77")],
)
def test_address_tells_workspaces_behind_one_host_apart(workspace_id: int | None, address: str) -> None:
    assert address_of("https://adb-1.7.azuredatabricks.net", workspace_id) == address
