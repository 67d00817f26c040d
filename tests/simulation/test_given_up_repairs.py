"""One call for a repair is held up at each of its boundaries while others give the repair up."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.simulation.schedule import Schedule

#: A submission has no more boundaries until its call for a repair is over.
BOUNDARIES = 16

#: The passes come so soon after one another that all calls are made within two minutes, and then so late that
#: the repair is given up and the new run begins.
WAITS = [20] * 10 + [100] * 12


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Schedule]:
    made = Schedule(tmp_path)
    made.insert("sales", retry_mode="repair")
    made.start_trigger()
    made.scheduler.finish()
    made.deliver(0, keep=False)
    made.scheduler.finish()
    [run] = made.databricks.live()
    made.databricks.end(run, "failed")
    made.start_monitor()
    made.scheduler.finish()
    made.offset += timedelta(seconds=40)
    made.start_trigger()
    made.scheduler.finish()
    made.databricks.repairs_fail = "lost before"
    made.databricks.repairs_lag = True
    yield made
    made.close()


@pytest.mark.parametrize("passes", [1, 4, 12])
@pytest.mark.parametrize("call", [0, 2, 3])
@pytest.mark.parametrize("boundary", range(BOUNDARIES))
def test_call_that_was_held_up_starts_nothing_beside_the_new_run(
    world: Schedule, boundary: int, call: int, passes: int
) -> None:
    """All other calls fail on their way. This one takes effect, if it may, so many passes later."""
    for number, wait in enumerate(WAITS):
        if number == call:
            world.deliver(0, keep=True)
            for _ in range(boundary):
                world.scheduler.advance(0)
                world.check()
            world.scheduler.set_aside()
        if number == call + passes:
            world.databricks.repairs_fail = ""
            world.scheduler.bring_back()
            world.scheduler.finish()
            world.databricks.repairs_fail = "lost before"
        _deliver_all(world)
        world.offset += timedelta(seconds=wait)
        world.start_trigger()
        world.scheduler.finish()
        world.check()
    _deliver_all(world)
    assert world.databricks.live(), "neither the repair nor a new run has begun"
    world.drain()


def _deliver_all(world: Schedule) -> None:
    """Deliver each message; the queue keeps them, as if nobody had confirmed them in time."""
    for number in range(len(world.queue.messages)):
        world.deliver(number, keep=True)
        world.scheduler.finish()
    world.queue.messages[:] = list(dict.fromkeys(world.queue.messages))
