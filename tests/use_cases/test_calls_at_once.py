"""Several calls of one submission are under way, since the first one took longer than its lease."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

import pytest

from orchestrator.core.errors import DatabricksError, NoCapacity, RequestRefused, WorkspaceUnavailable
from orchestrator.core.models import Claim, RunRequest
from orchestrator.core.states import Status
from tests.fakes import FakeRuns
from tests.world import World


def held_back() -> WorkspaceUnavailable:
    """Return the error of a call that was certainly not made."""
    error = WorkspaceUnavailable("run-now: 429, too many calls", status=429)
    error.in_doubt = False
    return error


def refused() -> RequestRefused:
    """Return the refusal of a call in Databricks' own words."""
    error = RequestRefused("no", status=403, error_code="PERMISSION_DENIED", permanent=True)
    error.is_worded = True
    return error


#: How a call can end that starts no run of which the app learns.
ENDS: dict[str, Callable[[], DatabricksError]] = {
    "no answer": lambda: WorkspaceUnavailable("no answer"),
    "held back": held_back,
    "no capacity": lambda: NoCapacity("no room", status=429),
    "refused": refused,
}


class SlowRuns(FakeRuns):
    """A workspace whose calls of ``run-now`` end when the test says so. The first one starts a run."""

    def __init__(self) -> None:
        super().__init__()
        #: each call that has begun, which waits for its end
        self.begun: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()

    async def run_now(self, request: RunRequest) -> int:
        if not self.requests:
            await super().run_now(request)
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.begun.put_nowait(end)
        return await end


@dataclass(frozen=True, kw_only=True)
class Call:
    """A delivery whose call of ``run-now`` is under way."""

    delivery: "asyncio.Task[None]"
    answer: "asyncio.Future[int]"

    async def end(self, error: DatabricksError) -> None:
        """Let the call end, and await what the delivery makes of it."""
        self.answer.set_exception(error)
        await asyncio.wait_for(self.delivery, 10)


async def call_three_times(world: World, slow: SlowRuns) -> list[Call]:
    """Deliver the message of the only entry three times, each while the calls before it are under way."""
    world.runs = {**world.runs, "default": slow}
    await world.trigger()
    [claim] = world.queue.sent
    calls = []
    for _ in range(3):
        delivery = asyncio.create_task(world.submit(claim))
        calls.append(Call(delivery=delivery, answer=await asyncio.wait_for(slow.begun.get(), 10)))
    return calls


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
@pytest.mark.parametrize(("second", "third"), list(product(ENDS, ENDS)))
async def test_run_of_a_lost_answer_stays_the_only_one(
    world: World, second: str, third: str, order: tuple[int, ...]
) -> None:
    [entry_id] = await world.add("sales")
    slow = SlowRuns()
    calls = await call_three_times(world, slow)
    ends = [WorkspaceUnavailable("the answer was lost"), ENDS[second](), ENDS[third]()]
    slow.down = WorkspaceUnavailable("no job can be read either")  # so that no call counts against the entry
    for number in order:
        await calls[number].end(ends[number])
    slow.down = None
    await refuse_a_fourth_call(world, slow, entry_id)
    await go_on(world, slow, entry_id)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, entry.submission) == (Status.RUNNING, 1000, 1)
    assert list(slow.runs) == [1000], "the token has found the run; no other one was started"


async def refuse_a_fourth_call(world: World, slow: SlowRuns, entry_id: int) -> None:
    """Deliver the message once more, if anybody still would, and refuse the call."""
    refusing = recovered(slow)
    refusing.errors = [refused()]
    world.runs = {**world.runs, "default": refusing}
    await world.submit(Claim(entry_id=entry_id, submission=1))
    assert await world.store.logs(entry_id) == [], (
        "a refusal now is no proof that no earlier call was accepted"
    )


async def go_on(world: World, slow: SlowRuns, entry_id: int) -> None:
    """Let the workspace be well again, and an operator retry the entry if it has ended."""
    world.runs = {**world.runs, "default": recovered(slow)}
    world.database.pass_time(1000)
    if (await world.entry(entry_id)).status is not Status.QUEUED:
        await world.retry(entry_id)
    await world.trigger()
    await world.monitor()
    await world.deliver()


def recovered(slow: SlowRuns) -> FakeRuns:
    """Return the workspace with the same runs, answering at once."""
    return FakeRuns(runs=slow.runs, by_token=slow.by_token)


async def test_calls_without_an_effect_do_not_settle_one_that_never_ended(world: World) -> None:
    [entry_id] = await world.add("sales")
    slow = SlowRuns()
    first, second, third = await call_three_times(world, slow)
    await second.end(held_back())
    await third.end(held_back())
    first.delivery.cancel()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.deliveries) == (Status.QUEUED, 1)
    await refuse_a_fourth_call(world, slow, entry_id)


async def test_cancellation_waits_for_calls_whose_outcome_is_not_known(world: World) -> None:
    [entry_id] = await world.add("sales")
    slow = SlowRuns()
    calls = await call_three_times(world, slow)
    slow.down = WorkspaceUnavailable("no job can be read either")
    for call, error in zip(calls, (slow.down, held_back(), held_back()), strict=True):
        await call.end(error)
    assert await world.cancel(entry_id)
    well = recovered(slow)
    world.runs = {**world.runs, "default": well}
    world.database.pass_time(1000)
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.QUEUED, "its token has to find the run first"
    await world.deliver()
    await world.monitor()
    await world.monitor()
    assert (await world.entry(entry_id)).status is Status.CANCELED
    assert well.cancelled == [1000]
