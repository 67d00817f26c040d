"""How long ten invocations at once need for the same messages, by the two settings that add up to ten.

``python -m benchmarks.queue_concurrency``: the local host's queue listener on a real Azurite takes messages,
every fourth of them slow. It prints the median of some runs and its ratio to the fastest setting.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path

import azure.functions as func
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient

from devstack import azurite
from devstack.host.indexing import Function, QueueTrigger
from devstack.host.invocation import Invoker
from devstack.host.queues import QueueListener
from devstack.host.settings import QueueOptions
from devstack.host.storage import MessageQueue

#: batchSize and newBatchThreshold; each pair lets ten invocations run at once
SETTINGS = ((10, 0), (5, 5), (1, 9))

MESSAGES = 40
#: every so many-th message is slow
SLOW_EVERY = 4
SLOW_SECONDS = 1.0
QUICK_SECONDS = 0.1


class Work:
    """The queue function: waits as long as its message says, and tells when all are done."""

    def __init__(self) -> None:
        self.all_done = asyncio.Event()
        self.most_at_once = 0
        self._running = 0
        self._done = 0

    async def __call__(self, message: func.QueueMessage) -> None:
        """Take one message."""
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(float(message.get_body()))
        self._running -= 1
        self._done += 1
        if self._done == MESSAGES:
            self.all_done.set()


async def measure(connection: str, batch_size: int, new_batch_threshold: int) -> tuple[float, int]:
    """Return the seconds until all messages were done, and the most that ran at once."""
    name = f"bench-{uuid.uuid4().hex}"
    await fill(connection, name)
    work = Work()

    async def handler(message: func.QueueMessage) -> None:
        await work(message)

    trigger = QueueTrigger(queue_name=name, connection_string=connection)
    function = Function(name="work", handler=handler, parameter="message", trigger=trigger)
    options = QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=new_batch_threshold,
        max_polling_interval=timedelta(seconds=2),
    )
    invoker = Invoker(limit=None, threads=1)
    stop = asyncio.Event()
    async with MessageQueue(connection, name, options.message_encoding) as queue:
        began = time.monotonic()
        listening = asyncio.create_task(QueueListener(function, queue, options, invoker).run(stop))
        async with asyncio.timeout(60):
            await work.all_done.wait()
        seconds = time.monotonic() - began
        stop.set()
        await listening
    invoker.close()
    return seconds, work.most_at_once


async def fill(connection: str, name: str) -> None:
    """Make a queue with the messages in it."""
    encode = TextBase64EncodePolicy().encode
    async with QueueClient.from_connection_string(connection, name) as queue:
        await queue.create_queue()
        for position in range(MESSAGES):
            seconds = SLOW_SECONDS if position % SLOW_EVERY == 0 else QUICK_SECONDS
            await queue.send_message(encode(str(seconds)))


async def compare(connection: str, runs: int) -> None:
    """Measure all settings and print a line for each."""
    seconds: dict[tuple[int, int], float] = {}
    at_once: dict[tuple[int, int], int] = {}
    for setting in SETTINGS:
        results = [await measure(connection, *setting) for _ in range(runs)]
        seconds[setting] = statistics.median(result[0] for result in results)
        at_once[setting] = max(result[1] for result in results)
    fastest = min(seconds.values())
    slow = MESSAGES // SLOW_EVERY
    print(
        f"{MESSAGES} messages, {slow} of {SLOW_SECONDS} s, the rest {QUICK_SECONDS} s; median of {runs} runs"
    )
    print("batchSize/newBatchThreshold  seconds  ratio  most at once")
    for setting in SETTINGS:
        label = f"{setting[0]}/{setting[1]}"
        print(
            f"{label:27}  {seconds[setting]:7.2f}  {seconds[setting] / fastest:5.2f}  {at_once[setting]:12}"
        )


def main(argv: list[str]) -> int:
    """Run the measurement on an Azurite of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue_concurrency", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each setting (%(default)s)")
    options = parser.parse_args(argv)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, azurite.emulator(Path(folder) / "azurite.log") as storage:
        asyncio.run(compare(azurite.connection_string(*storage.urls), options.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
