"""A workspace that answers with the run of another entry: said, bounded, and nothing is lost. Over HTTP."""

from pathlib import Path

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.core.actions import Resolution, resolve
from orchestrator.core.states import Status
from tests.use_cases.answering import answering, ended
from tests.world import workspace


async def test_run_of_another_entry_is_named_and_given_up(tmp_path: Path) -> None:
    async with answering(tmp_path) as world:
        first = await world.running("first")
        world.api.answers["run-now"] = (200, {"run_id": 1000})
        [second] = await world.add("second")
        await world.trigger()
        await world.deliver()
        waiting = await world.entry(second)
        assert waiting.status is Status.QUEUED
        assert f"run 1000, which is an earlier one, of entry {first.id}" in (waiting.last_error or "")
        del world.api.answers["run-now"]
        for number in range(14):
            await world.add(f"accepted {number}", priority=1)
            await world.trigger()
            world.queue.sent.sort(key=lambda claim: claim.entry_id)
            world.api.answers.pop("run-now", None)
            for claim in [each for each in world.queue.sent if each.entry_id != second]:
                await world.submit(claim)
            world.api.answers["run-now"] = (200, {"run_id": 1000})
            for claim in [each for each in world.queue.sent if each.entry_id == second]:
                await world.submit(claim)
            world.queue.sent.clear()
            world.database.pass_time(310)
        ended = await world.entry(second)
        assert ended.status is Status.DEAD
        assert "given up" in (ended.last_error or "")
        assert f"which is an earlier one, of entry {first.id}" in (ended.last_error or "")
        assert (await world.entry(first.id)).runid == 1000


async def test_run_of_an_entry_that_is_over_is_no_answer(tmp_path: Path) -> None:
    async with answering(tmp_path) as world:
        first = await world.running("first")
        world.api.runs[1000] = ended("SUCCESS", "SUCCESS")
        await world.monitor()
        world.api.answers["run-now"] = (200, {"run_id": 1000})  # out of a gateway's memory
        [second] = await world.add("second")
        await world.trigger()
        await world.deliver()
        await world.monitor()
        waiting = await world.entry(second)
        assert (waiting.status, waiting.runid, waiting.last_runid) == (Status.QUEUED, None, None)
        assert f"run 1000, which is an earlier one, of entry {first.id}" in (waiting.last_error or "")
        del world.api.answers["run-now"]
        await world.next_pass()
        assert (await world.entry(second)).runid == 1001
        assert (await world.entry(first.id)).status is Status.DONE


@pytest.mark.parametrize("resolved", [False, True], ids=["last run", "only logged"])
async def test_own_earlier_run_is_no_answer_to_a_new_submission(tmp_path: Path, resolved: bool) -> None:
    async with answering(tmp_path) as world:
        entry = await world.running()
        world.api.runs[1000] = ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
        await world.monitor()
        if resolved:
            action = resolve(Resolution.FAILED, "cannot be loaded")
            assert await Operations(world.store.pool).change(action, [entry.id]) == [entry.id]
            assert await world.retry(entry.id)
        world.api.answers["run-now"] = (200, {"run_id": 1000})
        await world.next_pass()
        waiting = await world.entry(entry.id)
        assert (waiting.status, waiting.runid) == (Status.QUEUED, None)
        assert f"run 1000, which is an earlier one, of entry {entry.id}" in (waiting.last_error or "")
        del world.api.answers["run-now"]
        await world.next_pass()
        assert (await world.entry(entry.id)).runid == 1001


async def test_same_number_in_another_workspace_is_another_run(tmp_path: Path) -> None:
    async with answering(tmp_path) as world:
        await world.running("first")
        world.runs = {**world.runs, "eu": world.runs["default"]}
        world.workspaces = {**world.workspaces, "eu": workspace("eu")}
        world.__post_init__()
        world.api.answers["run-now"] = (200, {"run_id": 1000})
        assert (await world.running("second", workspace="eu")).runid == 1000
