"""Sign in to a workspace with Microsoft Entra ID: as an identity of Azure, or as a service principal.

The Azure packages are imported when the first token is fetched, not with this module.
"""

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.adapters.databricks.auth.azure_calls import ADVICE, from_azure
from orchestrator.adapters.databricks.auth.token_source import (
    REFUSED_AHEAD_SECONDS,
    RENEW_AHEAD_SECONDS,
    CachedToken,
    Fetched,
    TokenSource,
    usable,
)
from orchestrator.ports import Clock

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

#: The resource id of Azure Databricks, the same in every tenant.
_DATABRICKS_SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"

#: The same for a service principal of Entra ID.
_PRINCIPAL_ADVICE: dict[int | str, str] = {
    **ADVICE,
    **dict.fromkeys(
        (400, 401, "ClientAuthenticationError"),
        "sign-in failed; check the tenant id, the client id, and that the client secret has not expired",
    ),
}


class _EntraToken(CachedToken):
    """A Microsoft Entra ID token, valid for an hour or so. Subclasses say who signs in.

    azure-identity has a cache of its own that cannot be bypassed: a refresh brings another token only when
    the held one is about to expire.
    """

    #: what to do about an error
    _advice = ADVICE

    @abstractmethod
    async def _access(self) -> "AccessToken":
        """Sign in. :raises AzureError: it failed."""

    async def _fetch(self) -> Fetched:
        name = "Microsoft Entra ID, token for Azure Databricks"
        access = await from_azure(self._access, name, self._advice)
        expires = self._clock.monotonic() + access.expires_on - time.time()
        return Fetched(
            value=usable(access.token, name),
            fresh_until=expires - RENEW_AHEAD_SECONDS,
            usable_until=expires - REFUSED_AHEAD_SECONDS,
        )


class EntraToken(_EntraToken):
    """A Microsoft Entra ID token of a managed identity, or of a developer.

    :param credential: returns a credential of azure-identity, which stays the caller's to close.
    """

    def __init__(self, credential: "Callable[[], AsyncTokenCredential]", *, clock: Clock) -> None:
        super().__init__(clock)
        self._credential = credential

    async def close(self) -> None:
        """Do nothing: nothing of its own is open."""

    async def _access(self) -> "AccessToken":
        return await self._credential().get_token(_DATABRICKS_SCOPE)


class EntraPrincipalToken(_EntraToken):
    """A Microsoft Entra ID token of a service principal that signs in with a client secret.

    :param secret: gives the client secret. A rotated one is read when the old one is refused.
    :param credential: returns a credential of azure-identity for a client secret; it is closed here.
    """

    _advice = _PRINCIPAL_ADVICE

    def __init__(
        self, secret: TokenSource, credential: "Callable[[str], AsyncTokenCredential]", *, clock: Clock
    ) -> None:
        super().__init__(clock)
        self._secret = secret
        self._credential = credential
        self._open: AsyncTokenCredential | None = None
        self._opened_with = ""

    def secrets(self) -> tuple[str, ...]:
        """Return the tokens held so far, and the client secrets."""
        return (*super().secrets(), *self._secret.secrets())

    async def close(self) -> None:
        """Close the credential and the source of the secret."""
        try:
            await self._close_credential()
        finally:
            await self._secret.close()

    async def _access(self) -> "AccessToken":
        from azure.core.exceptions import ClientAuthenticationError

        secret = await self._secret.token()
        try:
            return await self._sign_in(secret)
        except ClientAuthenticationError:
            fresh = await self._secret.refresh(secret)
            if fresh == secret:
                raise
            return await self._sign_in(fresh)

    async def _sign_in(self, secret: str) -> "AccessToken":
        if self._open is None or secret != self._opened_with:
            await self._close_credential()
            self._open, self._opened_with = self._credential(secret), secret
        return await self._open.get_token(_DATABRICKS_SCOPE)

    async def _close_credential(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await opened.close()
