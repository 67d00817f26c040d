"""The queue message that carries a claim to the submit function, and its sender.

The Storage SDK is imported when a queue is first used, never with this module: that takes a quarter of a
second, and the submit function never uses it.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import QueueError
from orchestrator.core.models import Claim
from orchestrator.core.numbers import MAX_ID
from orchestrator.core.urls import split_url

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.identity.aio import DefaultAzureCredential
    from azure.storage.queue.aio import QueueClient

_log = logging.getLogger(__name__)

#: Azurite's and the old Storage Emulator's account, the same on every machine:
#: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#connection-strings
DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
)

#: A queue takes 2,000 messages a second, Azurite some 500: ten at once keep a pass's claims well below a
#: second and do not flood a queue that is ill.
SEND_CONCURRENCY = 10

#: A send takes milliseconds; this leaves room for the retries of one that fails slowly.
SEND_TIMEOUT_SECONDS = 15.0

#: For all messages of one call: a dead queue holds up a pass for a minute at most, far below the function
#: time-out. What is not sent by then is left to the lease.
BATCH_TIMEOUT_SECONDS = 60.0

#: The SDK's own 20 and 60 are longer than a whole send may take.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10

#: Retries inside the SDK, each after 0 to 2 seconds: enough for a busy partition (503) or a dropped
#: connection; a longer fault is for the next pass. The SDK's default, 3 retries after 15 seconds and more,
#: would spend the pass on one message. A delay is ``initial_backoff + increment_base ** n``, give or take the
#: jitter.
RETRY_OPTIONS = {"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 1}

#: The length that an error text of the SDK is cut to: enough for host and cause.
_REASON_LENGTH = 200


def encode(claim: Claim) -> str:
    """Return a claim's queue message: JSON with ids only."""
    return json.dumps({"entry_id": claim.entry_id, "submission": claim.submission})


def decode(body: bytes) -> Claim:
    """Return the claim of a queue message. Further keys are left alone: a newer version may send one.

    :raises QueueError: the message was not sent by this app; its content is not repeated in the error.
    """
    try:
        message = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number or a nesting without end
        raise QueueError(f"the queue message is not JSON in UTF-8 ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise QueueError(f"the queue message is a JSON {type(message).__name__}, not an object")
    return Claim(
        entry_id=_number(message, "entry_id", -MAX_ID - 1),  # an IDENTITY may begin below 0
        submission=_number(message, "submission", 0),
    )


def _number(message: dict[str, Any], key: str, least: int) -> int:
    value = message.get(key)
    if type(value) is not int or not least <= value <= MAX_ID:  # type(), because True is an instance of int
        raise QueueError(f"the queue message needs {key!r} as a whole number from {least} to 2^63-1")
    return value


@dataclass(frozen=True, kw_only=True)
class QueueConnection:
    """How the Storage account's queues are reached: by a connection string or by an identity."""

    #: holds a key or a signature; None with an identity
    connection_string: str | None = field(default=None, repr=False)
    #: ``https://<account>.queue.core.windows.net``; None with a connection string
    service_url: str | None = None
    #: a user-assigned identity's client id; None for the system-assigned one or a developer's sign-in
    client_id: str | None = None


def queue_connection(environ: Mapping[str, str], name: str = "AzureWebJobsStorage") -> QueueConnection:
    """Read the settings that the queue trigger's ``connection`` names, by the trigger's own rules.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#connections
    As there, a connection string wins over the settings for an identity, and the URL over the account's name.

    :raises ValueError: says which setting is missing or wrong; never holds a value that may be secret.
    """
    connection_string = environ.get(name, "").strip()
    if connection_string:
        return QueueConnection(connection_string=_checked_connection_string(connection_string, name))
    return QueueConnection(
        service_url=_service_url(environ, name),
        client_id=environ.get(f"{name}__clientId", "").strip() or None,
    )


def _checked_connection_string(text: str, name: str) -> str:
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        if "developmentstorageproxyuri" in fields:
            raise ValueError(f"{name}: DevelopmentStorageProxyUri is not supported; give a QueueEndpoint")
        return DEVELOPMENT_STORAGE
    if not {"accountname", "queueendpoint"} & fields.keys():
        raise ValueError(
            f"{name} is not a Storage connection string: it has neither AccountName nor QueueEndpoint. "
            "Copy it from the Storage account's page 'Access keys'"
        )
    if "sharedaccesssignature" not in fields and not {"accountname", "accountkey"} <= fields.keys():
        raise ValueError(f"{name} needs AccountName and AccountKey, or a SharedAccessSignature")
    _check_key(fields.get("accountkey", ""), name)
    return text


def _check_key(key: str, name: str) -> None:
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ValueError(f"{name}: AccountKey is not valid base64; was it cut off?") from None


def _service_url(environ: Mapping[str, str], name: str) -> str:
    url = environ.get(f"{name}__queueServiceUri", "").strip()
    account = environ.get(f"{name}__accountName", "").strip()
    if url:
        parts = split_url(url)
        if parts.scheme != "https" or not parts.hostname or parts.query:
            raise ValueError(
                f"{name}__queueServiceUri must look like https://<account>.queue.core.windows.net, without a "
                "signature: the identity's token is sent over TLS only"
            )
        return url.rstrip("/")
    if not account:
        raise ValueError(
            f"set {name} to a connection string, or, for an identity, {name}__queueServiceUri or "
            f"{name}__accountName"
        )
    if not re.fullmatch(r"[a-z0-9]{3,24}", account):
        raise ValueError(f"{name}__accountName must be 3 to 24 lower-case letters and digits")
    return f"https://{account}.queue.core.windows.net"


class StorageQueue:
    """Sends claims to a Storage queue (the port ``Queue``), all within one event loop."""

    def __init__(
        self,
        connection: QueueConnection,
        queue_name: str,
        *,
        send_timeout: float = SEND_TIMEOUT_SECONDS,
        batch_timeout: float = BATCH_TIMEOUT_SECONDS,
    ) -> None:
        self._connection = connection
        self._queue_name = queue_name
        self._send_timeout = send_timeout
        self._batch_timeout = batch_timeout
        self._client: QueueClient | None = None
        self._credential: DefaultAzureCredential | None = None

    async def send(self, claims: Sequence[Claim]) -> list[Claim]:
        """Put one message a claim on the queue and return the claims whose message may not be there.

        Never raises for the queue's faults but logs their reasons. A message without an answer in time may be
        there all the same: delivery is at least once.
        """
        slots = asyncio.Semaphore(SEND_CONCURRENCY)
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
        """Reach the queue, and create it if it is missing.

        :raises QueueError: it cannot be used; the message says what to look at.
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
        """Close the connections. A later use opens new ones."""
        client, credential = self._client, self._credential
        self._client = self._credential = None
        if client is not None:
            await client.close()
        if credential is not None:
            await credential.close()

    async def _send_one(self, claim: Claim, slots: asyncio.Semaphore, deadline: float) -> str | None:
        """Send one message and return why it may not be there, None when the queue took it."""
        message = encode(claim)
        try:
            async with asyncio.timeout_at(deadline), slots:
                await self._use_queue(lambda queue: queue.send_message(message))
        except QueueError as error:
            return str(error)
        except TimeoutError:
            return f"not sent within {self._batch_timeout:g} seconds"
        return None

    async def _use_queue(self, operation: "Callable[[QueueClient], Awaitable[object]]") -> None:
        """Carry out an operation, once more after creating the queue if it was missing.

        :raises QueueError: it failed, or its outcome is not known.
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
            raise QueueError(f"no answer within {self._send_timeout:g} seconds") from None
        except (AzureError, ValueError) as error:  # ValueError: a connection string that the SDK cannot read
            raise QueueError(_reason(error)) from None  # the SDK's errors hold requests and answers

    def _open(self) -> "QueueClient":
        if self._client is not None:
            return self._client
        from azure.storage.queue import TextBase64EncodePolicy
        from azure.storage.queue.aio import QueueClient

        options: dict[str, Any] = {
            "message_encode_policy": TextBase64EncodePolicy(),  # the messageEncoding of host.json
            "connection_timeout": CONNECT_TIMEOUT_SECONDS,
            "read_timeout": READ_TIMEOUT_SECONDS,
            **RETRY_OPTIONS,
        }
        connection = self._connection
        if connection.connection_string is not None:
            self._client = QueueClient.from_connection_string(
                connection.connection_string, self._queue_name, **options
            )
        else:
            self._credential = _credential(connection.client_id)
            self._client = QueueClient(
                connection.service_url or "", self._queue_name, self._credential, **options
            )
        return self._client


def _credential(client_id: str | None) -> "DefaultAzureCredential":
    """Return what the trigger uses too: a managed identity in Azure, the developer's sign-in elsewhere."""
    from azure.identity.aio import DefaultAzureCredential

    if client_id is None:
        return DefaultAzureCredential()
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def _reason(error: "AzureError | ValueError") -> str:
    """Return what went wrong in one line, without the string to sign that a refusal's text quotes."""
    status = getattr(error, "status_code", None)
    if status:
        code = getattr(error, "error_code", None)
        return f"HTTP {status} {getattr(code, 'value', code) or ''}".rstrip()
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_REASON_LENGTH]
