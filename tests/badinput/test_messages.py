"""Queue messages that this app did not send."""

import asyncio
import json
from typing import Any

import pytest
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.queue import decode
from orchestrator.core.errors import QueueError
from orchestrator.core.numbers import MAX_ID
from tests.badinput.support import (
    ODD_VALUES,
    any_json,
    as_body,
    deeply_nested,
    paths,
    replaced,
    tries,
    twisted,
)
from tests.e2e.stack import POLL_SECONDS, Stack

OURS = {"entry_id": 1, "submission": 2}

#: Part of each refused message; it must not appear in what is logged about it.
CANARY = "s3cr3t-c4n4ry"


def check(body: bytes) -> None:
    """Check that a message is a valid claim, or is refused without being quoted."""
    try:
        claim = decode(body)
    except QueueError as error:
        text = str(error)
        assert text.startswith("the queue message ")
        assert text.isprintable()
        assert len(text) < 200
        assert CANARY not in text
        return
    for number, least in ((claim.entry_id, -MAX_ID - 1), (claim.submission, 0)):
        assert type(number) is int
        assert least <= number <= MAX_ID


@tries(1_500)
@given(
    st.binary(max_size=300)
    | st.text().map(str.encode)
    | any_json.map(as_body)
    | twisted(OURS).map(as_body)
    | any_json.map(lambda inner: as_body({**OURS, CANARY: inner, "entry_id": [CANARY, inner]}))
    | st.text().map(lambda text: f"{CANARY}{text}".encode())
)
def test_any_message_is_a_claim_or_is_refused(body: bytes) -> None:
    check(body)


def test_each_field_replaced_by_each_odd_value() -> None:
    for path in paths(OURS):
        for value in ODD_VALUES:
            check(as_body(replaced(OURS, path, value)))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-7"])
def test_other_encodings_are_refused_or_the_same(encoding: str) -> None:
    check(json.dumps(OURS).encode(encoding))


@pytest.mark.parametrize("body", [deeply_nested(20_000), b"[" * 49_152, b"9" * 49_152, b"\x00" * 49_152])
def test_too_long_messages_are_refused(body: bytes) -> None:
    with pytest.raises(QueueError):
        decode(body)


def _foreign_messages(other_entry_id: int) -> tuple[list[str], list[str]]:
    """Raw queue messages: unreadable ones, and those of entries that are not QUEUED."""
    encode = TextBase64EncodePolicy().encode
    unreadable: list[Any] = [[1, 2], 7, None, {"entry_id": 10**40, "submission": 1}, {"entry_id": "1"}]
    stale = [
        {"entry_id": 999, "submission": 1},
        {"entry_id": MAX_ID, "submission": MAX_ID},
        {"entry_id": other_entry_id, "submission": 99},
        {"entry_id": other_entry_id, "submission": 0},
    ]
    return (
        ["not <base64> at all", encode("hello"), encode("\0"), *(encode(json.dumps(m)) for m in unreadable)],
        [encode(json.dumps(message)) for message in stale],
    )


def _retry_at_once(stack: Stack) -> None:
    """Change ``host.json``: the app's own waits half a minute before it retries a message."""
    path = stack.folder / "host.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["extensions"]["queues"] |= {"visibilityTimeout": "00:00:00", "maxPollingInterval": "00:00:00.2"}
    path.unlink()  # a link to the real one
    path.write_text(json.dumps(content), encoding="utf-8")


async def _receive(queue: QueueClient, count: int) -> set[str]:
    """Wait at most 20 s for this number of messages."""
    found: set[str] = set()
    async with asyncio.timeout(20):
        while len(found) < count:
            async for message in queue.receive_messages(max_messages=32):
                found.add(message.content)
            await asyncio.sleep(POLL_SECONDS)  # a Storage queue sends no signal
    return found


@pytest.mark.e2e
async def test_foreign_messages_end_on_the_poison_queue_and_block_no_entry(stack: Stack) -> None:
    _retry_at_once(stack)
    stack.start_simulator("--token", "t")
    stack.execute("INSERT INTO track_processing (id, table_name) VALUES (41, 'sales')")
    unreadable, stale = _foreign_messages(41)
    queue = QueueClient.from_connection_string(stack.azurite, stack.queue_name)
    poison = QueueClient.from_connection_string(stack.azurite, f"{stack.queue_name}-poison")
    async with queue, poison:
        await queue.create_queue()
        await poison.create_queue()
        for message in (*unreadable, *stale):
            await queue.send_message(message)
        stack.start_host(DATABRICKS_TOKEN="t")
        await stack.until_all_ended(20)
        assert stack.query("SELECT status, submission FROM track_processing") == [("DONE", 1)]
        assert await _receive(poison, len(unreadable)) == set(unreadable)
        # A stale message that was not dropped would be seen again.
        assert await queue.peek_messages(max_messages=32) == []
