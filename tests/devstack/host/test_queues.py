"""The queue listener against a real Storage queue."""

from datetime import timedelta

from devstack.host.queues import PollingDelay
from tests.devstack.host.conftest import COLLECTS, FAST, WORK, App, Queue, RunHost

WAITS_FOR_GATE = (
    """
gate = asyncio.Event()
full = asyncio.Event()
all_done = asyncio.Event()
running = peak = done = 0
"""
    + WORK
    + """
async def work(message: func.QueueMessage) -> None:
    global running, peak, done
    running += 1
    peak = max(peak, running)
    if running == 5:
        full.set()
    if message.get_body() != b"quick":
        await gate.wait()
    running -= 1
    done += 1
    if done == 13:
        all_done.set()
"""
)


async def test_runs_batch_size_plus_threshold_at_once_and_never_more(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        WAITS_FOR_GATE, queues={**FAST, "batchSize": 3, "newBatchThreshold": 2}, settings=queue.settings
    )
    await queue.send("quick", *["slow"] * 12)
    async with run_host() as running:
        await running.module.full.wait()
        running.module.gate.set()
        await running.module.all_done.wait()
        assert running.module.peak == 5
    assert await queue.count() == 0


async def test_a_threshold_of_zero_works_in_waves(app: App, queue: Queue, run_host: RunHost) -> None:
    app.write(
        WAITS_FOR_GATE, queues={**FAST, "batchSize": 5, "newBatchThreshold": 0}, settings=queue.settings
    )
    await queue.send(*["slow"] * 13)
    async with run_host() as running:
        await running.module.full.wait()
        running.module.gate.set()
        await running.module.all_done.wait()
        assert running.module.peak == 5


async def test_the_function_gets_the_message_with_its_properties(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        "got = asyncio.Queue()\n"
        + WORK
        + """
async def work(message: func.QueueMessage) -> None:
    await got.put(message)
""",
        queues=FAST,
        settings=queue.settings,
    )
    await queue.send('{"a": 1}')
    async with run_host() as running:
        message = await running.module.got.get()
    assert message.get_json() == {"a": 1}
    assert message.id
    assert message.pop_receipt
    assert message.dequeue_count == 1
    assert message.insertion_time < message.expiration_time
    assert message.time_next_visible > message.insertion_time


async def test_a_failing_message_is_retried_and_then_goes_to_the_poison_queue(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        "counts = []\nlast = asyncio.Event()\n"
        + WORK
        + """
async def work(message: func.QueueMessage) -> None:
    if message.get_body() == b"good":
        return
    counts.append(message.dequeue_count)
    if len(counts) == 3:
        last.set()
    raise ValueError("refused")
""",
        queues={**FAST, "maxDequeueCount": 3},
        settings=queue.settings,
    )
    await queue.send("bad", "good")
    async with run_host() as running:
        await running.module.last.wait()
    assert running.module.counts == [1, 2, 3]
    assert await queue.count() == 0
    poison = await queue.poison.peek_messages(max_messages=32)
    assert [message.content for message in poison] == ["YmFk"]  # "bad", still encoded


async def test_a_failed_message_stays_invisible_for_the_visibility_timeout(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        "times = []\ntwice = asyncio.Event()\n"
        + WORK
        + """
async def work(message: func.QueueMessage) -> None:
    times.append(time.monotonic())
    if len(times) == 2:
        twice.set()
        return
    raise ValueError("refused")
""",
        queues={**FAST, "visibilityTimeout": "00:00:01"},
        settings=queue.settings,
    )
    await queue.send("bad")
    async with run_host() as running:
        await running.module.twice.wait()
    first, second = running.module.times
    assert second - first > 0.9


async def test_a_message_stays_invisible_as_long_as_its_function_runs(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        "count = 0\nended = asyncio.Event()\n"
        + WORK
        + """
async def work(message: func.QueueMessage) -> None:
    global count
    count += 1
    await asyncio.sleep(3)
    ended.set()
""",
        queues=FAST,
        settings=queue.settings,
    )
    await queue.send("long")
    async with run_host(invisibility=timedelta(seconds=2)) as running:
        await running.module.ended.wait()
    assert running.module.count == 1
    assert await queue.count() == 0


async def test_an_undecodable_message_goes_to_poison_and_hurts_no_other(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        COLLECTS,
        queues=FAST,
        settings=queue.settings,
    )
    await queue.client.send_message("not <base64> at all")
    await queue.send("good")
    async with run_host() as running:
        assert await running.module.got.get() == b"good"
    poison = await queue.poison.peek_messages(max_messages=32)
    assert [message.content for message in poison] == ["not <base64> at all"]
    assert await queue.count() == 0


async def test_plain_text_messages_when_host_json_says_so(app: App, queue: Queue, run_host: RunHost) -> None:
    app.write(
        COLLECTS,
        queues={**FAST, "messageEncoding": "none"},
        settings=queue.settings,
    )
    await queue.client.send_message("plain é")
    async with run_host() as running:
        assert (await running.module.got.get()).decode() == "plain é"


async def test_a_missing_queue_is_created_also_later(app: App, queue: Queue, run_host: RunHost) -> None:
    app.write(
        COLLECTS,
        queues=FAST,
        settings=queue.settings,
    )
    await queue.client.delete_queue()
    async with run_host() as running:
        await queue.send("first")
        assert await running.module.got.get() == b"first"
    assert await queue.count() == 0


async def test_an_invocation_over_the_time_limit_counts_as_failed(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    app.write(
        "started = asyncio.Event()\n"
        + WORK
        + """
async def work(message: func.QueueMessage) -> None:
    started.set()
    await asyncio.Event().wait()
""",
        host={"functionTimeout": "00:00:00.2"},
        queues={**FAST, "maxDequeueCount": 1},
        settings=queue.settings,
    )
    await queue.send("endless")
    async with run_host() as running:
        await running.module.started.wait()
    assert await queue.count() == 0
    assert len(await queue.poison.peek_messages(max_messages=32)) == 1


async def test_a_message_that_was_delivered_too_often_goes_to_poison_without_running(
    app: App, queue: Queue, run_host: RunHost
) -> None:
    """As after hosts that were killed while they ran it."""
    app.write(COLLECTS, queues={**FAST, "maxDequeueCount": 1}, settings=queue.settings)
    await queue.send("deadly")
    delivered = await queue.client.receive_message()
    assert delivered is not None
    await queue.client.update_message(delivered, visibility_timeout=0)
    await queue.send("good")
    async with run_host() as running:
        assert await running.module.got.get() == b"good"
    assert running.module.got.empty()
    assert len(await queue.poison.peek_messages(max_messages=32)) == 1
    assert await queue.count() == 0


def test_polling_slows_down_to_its_limit() -> None:
    delay = PollingDelay(timedelta(seconds=2), uniform=lambda low, high: (low + high) / 2)
    assert [round(delay.next(), 3) for _ in range(7)] == [0.1, 0.2, 0.3, 0.5, 0.9, 1.7, 2.0]
    delay.reset()
    assert delay.next() == 0.1
    assert max(delay.next() for _ in range(2000)) == 2.0
