"""A workspace that answers with the run of another entry: said, bounded, and nothing is lost. Over HTTP."""

from pathlib import Path

from orchestrator.core.states import Status
from tests.use_cases.answering import answering


async def test_run_of_another_entry_is_named_and_given_up(tmp_path: Path) -> None:
    async with answering(tmp_path) as world:
        first = await world.running("first")
        world.api.answers["run-now"] = (200, {"run_id": 1000})
        [second] = await world.add("second")
        await world.trigger()
        await world.deliver()
        waiting = await world.entry(second)
        assert waiting.status is Status.QUEUED
        assert f"run 1000, which entry {first.id} follows" in (waiting.last_error or "")
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
        assert f"which entry {first.id} follows" in (ended.last_error or "")
        assert (await world.entry(first.id)).runid == 1000
