"""Signing in to Azure SQL with Microsoft Entra ID: the app's managed identity, or a developer's sign-in."""

import struct
import time
from dataclasses import dataclass, field

from orchestrator.core.errors import StoreError

#: Azure SQL's resource, the same in every tenant.
SCOPE = "https://database.windows.net/.default"

#: Microsoft's ODBC driver takes a token through this connection attribute.
#: https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory#authenticating-with-an-access-token
SQL_COPT_SS_ACCESS_TOKEN = 1256

#: A connection is given up this long before its token ends, so that no statement is cut off by it.
RENEW_AHEAD_SECONDS = 300.0

#: For one try of the identity endpoint, which answers within a second.
TIMEOUT_SECONDS = 10.0

#: Further tries, with pauses of about a second: half a minute in all at the worst.
_RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """A token and its end."""

    value: str = field(repr=False)
    #: epoch seconds
    expires_on: float

    def attribute(self) -> bytes:
        """Return the token as the driver wants it: UTF-16 behind its length in bytes."""
        text = self.value.encode("utf-16-le")
        return struct.pack(f"<I{len(text)}s", len(text), text)

    def seconds_left(self) -> float:
        """Return how long a connection with this token may be used."""
        return self.expires_on - time.time() - RENEW_AHEAD_SECONDS


def fetch(client_id: str | None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> AccessToken:
    """Return a token for Azure SQL. Blocks, in bounded time.

    :param client_id: of a user-assigned managed identity, None = the app's own, or whoever is signed in here.
    :param timeout_seconds: for one try.
    :raises StoreError: there is no identity, or it cannot be reached.
    """
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential(
        managed_identity_client_id=client_id,
        connection_timeout=timeout_seconds,
        read_timeout=timeout_seconds,
        retry_total=_RETRIES,
    )
    try:
        token = credential.get_token(SCOPE)
    except AzureError as error:
        raise StoreError(
            f"no access token for Azure SQL ({type(error).__name__}): give the app a managed identity, "
            "sign in with az login, or put credentials into SQL_CONNECTION_STRING"
        ) from None  # the SDK's own text holds requests
    finally:
        credential.close()
    return AccessToken(value=token.token, expires_on=token.expires_on)
