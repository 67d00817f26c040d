"""The Microsoft Entra ID access token with which the store signs in to Azure SQL."""

import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.core.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.identity import DefaultAzureCredential

#: Azure SQL's resource, the same in every tenant.
_SCOPE = "https://database.windows.net/.default"

#: The connection attribute through which Microsoft's ODBC driver takes a token.
#: https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory#authenticating-with-an-access-token
SQL_COPT_SS_ACCESS_TOKEN = 1256

#: A connection is closed this long before its token expires, in seconds, so that no statement is cut off.
_RENEW_AHEAD_SECONDS = 300.0

#: The identity endpoint of Azure's virtual machines. DefaultAzureCredential asks it everywhere, and outside
#: Azure anything may answer, or nothing. App Service has an endpoint of its own.
_VIRTUAL_MACHINES = "//169.254.169.254/"

#: HTTP statuses after which the same request may succeed: time-out, too many requests, and 500 or more.
_PASSING = (408, 429)


class MakeCredential(Protocol):
    """Makes a credential that makes one try, and tells of each request and of each response."""

    def __call__(
        self, *, on_request: "Callable[[Any], None]", on_response: "Callable[[Any], None]"
    ) -> "DefaultAzureCredential":
        """Return a new credential."""
        ...


@dataclass(frozen=True, kw_only=True)
class _AccessToken:
    """A token and the time until which it may be used."""

    value: str = field(repr=False)
    #: epoch seconds
    usable_until: float

    def attribute(self) -> bytes:
        """Return the token as the driver expects it: its length in bytes, then the token in UTF-16."""
        text = self.value.encode("utf-16-le")
        return struct.pack(f"<I{len(text)}s", len(text), text)

    def seconds_left(self) -> float:
        """Return for how many seconds a connection with this token may be used."""
        return self.usable_until - time.time()


class SqlToken:
    """The access token of an identity, which all connections of a process share. It is fetched when needed.

    :param make_credential: makes the credential to sign in with, which is closed after its use.
    """

    def __init__(self, make_credential: MakeCredential) -> None:
        self._make_credential = make_credential
        self._lock = threading.Lock()
        self._held: _AccessToken | None = None
        #: the last failure, and when it was met on the monotonic clock
        self._failure: StoreError | None = None
        self._failed_at = 0.0

    def get(self) -> _AccessToken:
        """Return the token that is held, or another one. Blocks for as long as one try of the credential.

        Those who waited for a try that failed share its error, so that nobody waits for one after another.

        :raises StoreUnavailable: whoever gives the token is overloaded, or does not answer.
        :raises StoreError: there is no identity, or it is refused.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._held is not None and self._held.seconds_left() > 0:
                return self._held
            if self._failure is not None and self._failed_at >= asked_at:
                raise type(self._failure)(str(self._failure))
            self._failure = None
            try:
                self._held = _fetch(self._make_credential)
            except StoreError as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise
            return self._held


class _LastRequest:
    """What became of the last request of a credential."""

    def __init__(self) -> None:
        #: None = no request was sent, or one to the endpoint that says nothing
        self._asked: str | None = None
        self._status: int | None = None

    def sent(self, request: Any) -> None:
        """Note a request of azure-core's pipeline."""
        url = str(request.http_request.url)
        self._asked, self._status = (None if _VIRTUAL_MACHINES in url else url), None

    def answered(self, response: Any) -> None:
        """Note the response to it."""
        self._status = int(response.http_response.status_code)

    def passing_trouble(self) -> str | None:
        """Say why a later try may succeed; None = it will not."""
        if self._asked is None:
            return None
        if self._status is None:
            return "no answer"
        return f"HTTP {self._status}" if self._status >= 500 or self._status in _PASSING else None


def _fetch(make_credential: MakeCredential) -> _AccessToken:
    from azure.core.exceptions import AzureError

    last = _LastRequest()
    credential = make_credential(on_request=last.sent, on_response=last.answered)
    try:
        token = credential.get_token(_SCOPE)
    except AzureError as error:  # the SDK's own text holds requests
        if trouble := last.passing_trouble():
            raise StoreUnavailable(
                f"no access token for Azure SQL: the identity endpoint is overloaded or away ({trouble})"
            ) from None
        raise StoreError(
            f"no access token for Azure SQL ({type(error).__name__}): give the app a managed identity, "
            "sign in with az login, or put credentials into SQL_CONNECTION_STRING"
        ) from None
    finally:
        credential.close()
    left = token.expires_on - time.time()
    # Of one that is short-lived, half: it must not be thrown away at once.
    return _AccessToken(
        value=token.token, usable_until=token.expires_on - min(_RENEW_AHEAD_SECONDS, left / 2)
    )
