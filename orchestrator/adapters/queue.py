"""The Storage queue: the message that carries a claim to the submit function, and its sender.

The Storage SDK is imported when a queue is first used, not with this module: the import takes a quarter of a
second, and the submit function never needs it.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import QueueError
from orchestrator.core.models import Claim
from orchestrator.core.numbers import MAX_ID, whole

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.exceptions import AzureError
    from azure.storage.queue.aio import QueueClient

_log = logging.getLogger(__name__)

#: A queue takes 2,000 messages a second, Azurite some 500. With ten at once a pass sends its claims in well
#: under a second and does not flood a queue that is unhealthy.
_SEND_CONCURRENCY = 10

#: For one message. A send takes milliseconds; this leaves room for the retries of one that fails slowly.
_SEND_TIMEOUT_SECONDS = 15.0

#: For all messages of one call. A dead queue delays a pass for a minute at most, far below the function
#: time-out. A message that is not sent by then is sent again when the entry's lease is over.
_BATCH_TIMEOUT_SECONDS = 60.0

#: The SDK's defaults, 20 and 60, are longer than a whole send may take.
_CONNECT_TIMEOUT_SECONDS = 3
_READ_TIMEOUT_SECONDS = 10

#: Retries inside the SDK, each after 0 to 2 seconds: enough for a busy partition (503) or a dropped
#: connection. A longer fault is left to the next pass. The SDK's default, 3 retries after 15 seconds and
#: more, would spend the whole pass on one message. A delay is ``initial_backoff + increment_base ** n``, give
#: or take the jitter.
_RETRY_OPTIONS = {"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 1}

#: An error text of the SDK is cut to this length: enough for host and cause.
_REASON_LENGTH = 200


def _encode(claim: Claim) -> str:
    """Return a claim's queue message: JSON with ids only."""
    return json.dumps({"entry_id": claim.entry_id, "submission": claim.submission})


def decode(body: bytes) -> Claim:
    """Return the claim of a queue message. Unknown keys are ignored: a newer version may send one.

    :raises QueueError: the message was not sent by this app; its content is not repeated in the error.
    """
    try:
        # A number with a point stays a text: this app never sends one for an id.
        message = json.loads(body.decode("utf-8"), parse_float=str)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, too many digits, or nested too deep
        raise QueueError(f"the queue message is not JSON in UTF-8 ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise QueueError(f"the queue message is a JSON {type(message).__name__}, not an object")
    return Claim(
        entry_id=_number(message, "entry_id", -MAX_ID - 1),  # an IDENTITY column may begin below 0
        submission=_number(message, "submission", 0),
    )


def _number(message: dict[str, Any], key: str, least: int) -> int:
    try:
        return whole(message.get(key), least=least, most=MAX_ID)
    except ValueError as error:
        raise QueueError(f"the queue message is not ours: {key!r} {error}") from None


class StorageQueue:
    """Sends claims to a Storage queue (the port ``Queue``), all within one event loop.

    :param connection_string: of the Storage account; None = sign in with ``credential``.
    :param service_url: of the account's queues, such as ``https://<account>.queue.core.windows.net``.
    :param credential: makes the credential to sign in with; the queue closes what it made.
    :param send_timeout: for one message, in seconds.
    :param batch_timeout: for all messages of one call, in seconds.
    """

    def __init__(
        self,
        queue_name: str,
        *,
        connection_string: str | None = None,
        service_url: str | None = None,
        credential: "Callable[[], AsyncTokenCredential] | None" = None,
        send_timeout: float = _SEND_TIMEOUT_SECONDS,
        batch_timeout: float = _BATCH_TIMEOUT_SECONDS,
    ) -> None:
        self._queue_name = queue_name
        self._connection_string = connection_string
        self._service_url = service_url
        self._make_credential = credential
        self._send_timeout = send_timeout
        self._batch_timeout = batch_timeout
        self._client: QueueClient | None = None
        self._credential: AsyncTokenCredential | None = None

    async def send(self, claims: Sequence[Claim]) -> list[Claim]:
        """Send one message for each claim and return the claims whose message may not be on the queue.

        The queue's faults are logged, never raised. A message that got no response in time may be on the
        queue all the same: delivery is at least once.
        """
        slots = asyncio.Semaphore(_SEND_CONCURRENCY)
        deadline = asyncio.get_running_loop().time() + self._batch_timeout
        failures = await asyncio.gather(*(self._send_one(claim, slots, deadline) for claim in claims))
        unsent = [claim for claim, failure in zip(claims, failures, strict=True) if failure]
        if unsent:
            reasons = sorted({failure for failure in failures if failure})
            _log.error(
                "%d of %d messages may not be on the queue %s: %s",
                len(unsent),
                len(claims),
                self._queue_name,
                "; ".join(reasons[:3]),
            )
        return unsent

    async def check(self) -> None:
        """Check that the queue can be used, and create it if it is missing.

        :raises QueueError: it cannot be used; the message says what to check.
        """
        try:
            await self._use_queue(lambda queue: queue.get_queue_properties())
        except QueueError as error:
            raise QueueError(
                f"the queue {self._queue_name} cannot be used: {error}. Check the AzureWebJobsStorage "
                "settings, that the account can be reached from here, and, with an identity, that it has the "
                "role Storage Queue Data Contributor"
            ) from error

    async def close(self) -> None:
        """Close the connections and the credential. A later use opens new ones."""
        client, credential = self._client, self._credential
        self._client = self._credential = None
        if client is not None:
            await client.close()
        if credential is not None:
            await credential.close()

    async def _send_one(self, claim: Claim, slots: asyncio.Semaphore, deadline: float) -> str | None:
        """Send one message. Return why it may not be on the queue, or None when the queue accepted it."""
        message = _encode(claim)
        try:
            async with asyncio.timeout_at(deadline), slots:
                await self._use_queue(lambda queue: queue.send_message(message))
        except QueueError as error:
            return str(error)
        except TimeoutError:
            return f"not sent within {self._batch_timeout:g} seconds"
        return None

    async def _use_queue(self, operation: "Callable[[QueueClient], Awaitable[object]]") -> None:
        """Run an operation. If the queue is missing, create it and run the operation again.

        :raises QueueError: the operation failed, or its outcome is not known.
        """
        from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError

        try:
            async with asyncio.timeout(self._send_timeout):
                queue = self._open()
                try:
                    await operation(queue)
                except ResourceNotFoundError:
                    with contextlib.suppress(ResourceExistsError):  # another sender was first
                        await queue.create_queue()
                    await operation(queue)
        except TimeoutError:
            raise QueueError(f"no response within {self._send_timeout:g} seconds") from None
        except (AzureError, ValueError) as error:  # ValueError: a connection string that the SDK cannot read
            raise QueueError(_reason(error)) from None  # the SDK's errors hold requests and responses

    def _open(self) -> "QueueClient":
        if self._client is not None:
            return self._client
        from azure.storage.queue import TextBase64EncodePolicy
        from azure.storage.queue.aio import QueueClient

        options: dict[str, Any] = {
            "message_encode_policy": TextBase64EncodePolicy(),  # the messageEncoding of host.json
            "connection_timeout": _CONNECT_TIMEOUT_SECONDS,
            "read_timeout": _READ_TIMEOUT_SECONDS,
            **_RETRY_OPTIONS,
        }
        if self._connection_string is not None:
            self._client = QueueClient.from_connection_string(
                self._connection_string, self._queue_name, **options
            )
        else:
            self._credential = self._make_credential() if self._make_credential is not None else None
            self._client = QueueClient(self._service_url or "", self._queue_name, self._credential, **options)
        return self._client


def _reason(error: "AzureError | ValueError") -> str:
    """Return what went wrong in one line, without the string-to-sign that a refusal's text quotes."""
    status = getattr(error, "status_code", None)
    if status:
        code = getattr(error, "error_code", None)
        return f"HTTP {status} {getattr(code, 'value', code) or ''}".rstrip()
    if type(getattr(error, "inner_exception", None)).__name__ == "ClientHttpProxyError":
        return "the proxy (HTTPS_PROXY) refuses the connection"  # its own text may hold its password
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_REASON_LENGTH]
