"""Signing in to Azure SQL with Microsoft Entra ID: the app's managed identity, or a developer's sign-in."""

import struct
import time
from dataclasses import dataclass, field

from orchestrator.errors import StoreError

#: Azure SQL's resource, the same in every tenant.
SCOPE = "https://database.windows.net/.default"

#: Microsoft's ODBC driver takes a token through this connection attribute.
#: https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory#authenticating-with-an-access-token
SQL_COPT_SS_ACCESS_TOKEN = 1256

#: A connection is given up this long before its token ends, so that no statement is cut off by it.
RENEW_AHEAD_SECONDS = 300.0

#: One try of the identity endpoint; it answers within a second.
_TIMEOUT_SECONDS = 10


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


def fetch(client_id: str | None) -> AccessToken:
    """Return a token for Azure SQL. Blocks, in bounded time.

    :param client_id: of a user-assigned managed identity, None = the app's own, or whoever is signed in here.
    :raises StoreError: there is no identity, or it cannot be reached.
    """
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential(
        managed_identity_client_id=client_id,
        connection_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retry_total=2,
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
