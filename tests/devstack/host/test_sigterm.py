"""SIGTERM to the host as a process: what was in hand is finished or visible at once, and nothing is lost."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack import processes
from tests.devstack.host.conftest import WORK, App, Queue

#: More than are in hand at a time, and no more than one look at a queue can show.
MESSAGES = 24

QUEUES = {"maxPollingInterval": "00:00:00.1", "batchSize": 5, "newBatchThreshold": 5}

#: Begins ten at a time; the first of them are over before the stop.
WORKS = WORK + (
    """
async def work(message: func.QueueMessage) -> None:
    body = message.get_body().decode()
    print("begun", body, flush=True)
    await asyncio.sleep(SECONDS)
    print("done", body, flush=True)
"""
)

#: Its pass is longer than the host waits.
ENDLESS_PASS = """
@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def tick(timer: func.TimerRequest) -> None:
    print("pass begun", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("pass cancelled", flush=True)
        raise
"""

Start = Callable[..., processes.Process]


@pytest.fixture
def start(app: App, tmp_path: Path) -> Iterator[Start]:
    started: list[processes.Process] = []

    def run(*arguments: str) -> processes.Process:
        command = [sys.executable, "-m", "devstack", "host", "--app", str(app.folder), "--port", "0"]
        started.append(processes.start("host", [*command, *arguments], log=tmp_path / "log"))
        return started[-1]

    yield run
    for process in started:
        process.kill()


def words(process: processes.Process, word: str) -> list[str]:
    """What followed a word at the beginning of the log's lines."""
    lines = process.log.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def wait_for(process: processes.Process, word: str) -> None:
    while not words(process, word):  # the test's time-out is the bound
        assert process.returncode is None, process.tail()


async def test_every_message_is_done_or_visible(app: App, queue: Queue, start: Start) -> None:
    await queue.send(*(str(number) for number in range(MESSAGES)))
    app.write(f"SECONDS = 0.5\n{WORKS}", queues=QUEUES, settings=queue.settings)
    process = start()
    wait_for(process, "done")
    assert process.stop() == 0
    done, left = words(process, "done"), await queue.visible()
    assert sorted(done) == sorted(words(process, "begun")), "what has begun is finished"
    assert await queue.count() == len(left), "no message waits out its invisibility"
    assert len(done) + len(left) == MESSAGES, "each was done once or is there"


async def test_what_does_not_end_in_time_is_visible_at_once(app: App, queue: Queue, start: Start) -> None:
    await queue.send(*(str(number) for number in range(MESSAGES)))
    app.write(f"SECONDS = 300\n{WORKS}{ENDLESS_PASS}", queues=QUEUES, settings=queue.settings)
    process = start("--stop-timeout", "0.2")
    wait_for(process, "begun")
    wait_for(process, "pass")
    assert process.stop() == 0
    assert words(process, "done") == []
    assert len(await queue.visible()) == MESSAGES
    assert "pass cancelled" in process.log.read_text(encoding="utf-8")
