"""Works of a pass that are done again while another one goes on, on a loop whose time jumps."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.core.errors import StoreError
from orchestrator.usecases.tasks import in_rounds, to_its_end
from tests.jumping import run_jumping


def slow(seconds: float) -> Callable[[], Awaitable[list[str]]]:
    """Return a work that takes this long in its first round, and no time after that."""
    is_first = True

    async def work() -> list[str]:
        nonlocal is_first
        if is_first:
            is_first = False
            await asyncio.sleep(seconds)
        return ["slow"]

    return work


class Works:
    """A work whose rounds each do one thing: return a problem, raise an error, or take their time."""

    def __init__(self, *rounds: str | Exception | float) -> None:
        self._rounds = rounds
        self.began: list[float] = []

    async def __call__(self) -> list[str]:
        self.began.append(asyncio.get_running_loop().time())
        what = self._rounds[min(len(self.began), len(self._rounds)) - 1]
        if isinstance(what, Exception):
            raise what
        if isinstance(what, float):
            await asyncio.sleep(what)
            return ["took its time"]
        return [what]


def test_an_error_of_a_further_round_is_a_problem_and_ends_no_rounds() -> None:
    async def run() -> None:
        fails_once = Works("", StoreError("down"), "well again")
        assert await in_rounds([fails_once, slow(100)], every=30, at_most=210) == ["well again", "slow"]
        fails = Works("", StoreError("down"))
        found = await in_rounds([fails, slow(100)], every=30, at_most=210)
        assert found == ["a further round of the pass: down", "slow"]
        assert len(fails.began) == 4

    run_jumping(run())


def test_an_error_of_the_first_round_is_raised_when_all_are_done() -> None:
    async def run() -> None:
        goes_on = Works("")
        with pytest.raises(StoreError, match="down"):
            await in_rounds([Works(StoreError("down")), goes_on, slow(100)], every=30, at_most=210)
        assert len(goes_on.began) == 4

    run_jumping(run())


def test_no_round_begins_when_the_time_is_over_and_one_that_has_begun_is_cut_off() -> None:
    async def run() -> None:
        began = asyncio.get_running_loop().time()
        quick, lasting = Works(""), Works("first", 60.0)
        assert await in_rounds([quick, lasting, slow(220)], every=30, at_most=70) == ["first", "slow"]
        assert [at - began for at in quick.began] == pytest.approx([0, 30, 60], abs=1)
        assert [at - began for at in lasting.began] == pytest.approx([0, 30], abs=1)

    run_jumping(run())


def test_a_task_that_is_not_to_be_cut_ends_before_the_cancellation_does() -> None:
    async def run() -> None:
        task = asyncio.create_task(asyncio.sleep(60, "done"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await to_its_end(task)
        assert task.result() == "done"

    run_jumping(run())


def test_a_second_cancellation_leaves_the_task_running() -> None:
    async def run() -> None:
        task = asyncio.create_task(asyncio.sleep(60, "done"))
        waiting = asyncio.create_task(to_its_end(task))
        for _ in range(2):
            await asyncio.sleep(1)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not task.done()
        assert await task == "done"

    run_jumping(run())
