"""The Microsoft Entra ID access token with which the store signs in to Azure SQL."""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.core.errors import StoreError

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential

#: Azure SQL's resource, the same in every tenant.
_SCOPE = "https://database.windows.net/.default"

#: The connection attribute through which Microsoft's ODBC driver takes a token.
#: https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory#authenticating-with-an-access-token
SQL_COPT_SS_ACCESS_TOKEN = 1256

#: A connection is closed this long before its token expires, in seconds, so that no statement is cut off.
_RENEW_AHEAD_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class _AccessToken:
    """A token and the time when it expires."""

    value: str = field(repr=False)
    #: epoch seconds
    expires_on: float

    def attribute(self) -> bytes:
        """Return the token as the driver expects it: its length in bytes, then the token in UTF-16."""
        text = self.value.encode("utf-16-le")
        return struct.pack(f"<I{len(text)}s", len(text), text)

    def seconds_left(self) -> float:
        """Return for how many seconds a connection with this token may be used."""
        return self.expires_on - time.time() - _RENEW_AHEAD_SECONDS


def fetch(make_credential: "Callable[[], DefaultAzureCredential]") -> _AccessToken:
    """Return a token for Azure SQL. Blocks for as long as the credential does.

    :param make_credential: makes the credential to sign in with, which is closed after its use.
    :raises StoreError: there is no identity, or it cannot be reached.
    """
    from azure.core.exceptions import AzureError

    credential = make_credential()
    try:
        token = credential.get_token(_SCOPE)
    except AzureError as error:
        raise StoreError(
            f"no access token for Azure SQL ({type(error).__name__}): give the app a managed identity, "
            "sign in with az login, or put credentials into SQL_CONNECTION_STRING"
        ) from None  # the SDK's own text holds requests
    finally:
        credential.close()
    return _AccessToken(value=token.token, expires_on=token.expires_on)
