"""One Storage queue and its poison queue, as the queue listener needs them."""

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from devstack.azurite import connection_string

#: Bounds of one call; Azurite answers in milliseconds, and a stop must not wait for a dead one.
CONNECT_TIMEOUT_SECONDS = 2
READ_TIMEOUT_SECONDS = 5

POISON_SUFFIX = "-poison"


def storage_connection(name: str, settings: Mapping[str, str]) -> str:
    """Return the connection string that a binding's ``connection`` names.

    :raises ValueError: there is none, or it is not of the kind that this host knows.
    """
    value = settings.get(f"AzureWebJobs{name}") or settings.get(name)
    if value is None:
        if any(key.startswith(f"{name}__") for key in settings):
            raise ValueError(
                f"{name} is an identity-based connection; this host takes a connection string only"
            )
        raise ValueError(
            f"the setting {name} is not set (in Values of local.settings.json or in the environment)"
        )
    if value.replace(" ", "").rstrip(";").lower() == "usedevelopmentstorage=true":
        return connection_string()
    try:
        QueueClient.from_connection_string(value, "any")
    except ValueError as error:  # its message does not repeat the value, which holds a key
        raise ValueError(f"the setting {name} is not a Storage connection string: {error}") from None
    return value


class UndecodableMessageError(ValueError):
    """A message whose text is not what ``messageEncoding`` says."""


class MessageQueue:
    """A queue whose messages are read as they are: the SDK's own decoding loses a page for one bad message.

    Every call ends within seconds and may raise :class:`azure.core.exceptions.AzureError`.
    """

    def __init__(self, connection: str, name: str, encoding: str) -> None:
        self.name = name
        #: a poison queue has no poison queue of its own
        self.has_poison_queue = not name.endswith(POISON_SUFFIX)
        self._encoding = encoding
        self._queue = _client(connection, name)
        self._poison = _client(connection, name + POISON_SUFFIX)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._queue.close()
        await self._poison.close()

    async def create(self) -> None:
        """Create the queue if it is missing."""
        await _create(self._queue)

    async def receive(self, count: int, invisible: timedelta) -> list[QueueMessage]:
        """Return up to ``count`` messages, which nobody else sees for a while; creates a missing queue."""
        try:
            pages = self._queue.receive_messages(
                messages_per_page=count,
                visibility_timeout=_seconds(invisible),
                retry_total=0,  # the listener has its own back-off
            ).by_page()
            # One page only: were a second call to fail, the messages of the first would be lost from sight.
            async for page in pages:
                return [message async for message in page]
        except ResourceNotFoundError:
            await self.create()
        return []

    def decode(self, message: QueueMessage) -> bytes:
        """Return a message's body. :raises UndecodableMessageError: it is not encoded as it should be."""
        text = str(message.content or "")
        if self._encoding == "none":
            return text.encode()
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UndecodableMessageError(f"message {message.id} is not base64: {error}") from None

    async def hide(self, message: QueueMessage, invisible: timedelta) -> None:
        """Make a received message visible again after a while, 0 = now. Changes its pop receipt in place."""
        updated = await self._queue.update_message(
            message.id, message.pop_receipt, visibility_timeout=_seconds(invisible)
        )
        message.pop_receipt = updated.pop_receipt

    async def delete(self, message: QueueMessage) -> None:
        """Delete a received message."""
        await self._queue.delete_message(message.id, message.pop_receipt)

    async def move_to_poison(self, message: QueueMessage) -> None:
        """Put a received message, as it is, on the poison queue and delete it here."""
        try:
            await self._poison.send_message(message.content)
        except ResourceNotFoundError:
            await _create(self._poison)
            await self._poison.send_message(message.content)
        await self.delete(message)


def _client(connection: str, name: str) -> QueueClient:
    return QueueClient.from_connection_string(
        connection,
        name,
        connection_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        # one more try after a second or two; the SDK's own default waits 15 s and more
        retry_total=1,
        initial_backoff=1,
        increment_base=1,
        random_jitter_range=0,
    )


async def _create(queue: QueueClient) -> None:
    try:
        await queue.create_queue(retry_total=0)
    except ResourceExistsError:
        return


def _seconds(span: timedelta) -> int:
    """Storage knows whole seconds only; up, so that a short wait does not become none."""
    return math.ceil(span.total_seconds())
