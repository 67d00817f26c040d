"""Get the access token of a Databricks workspace: from the environment, Key Vault or Microsoft Entra ID.

The Azure packages are imported when the first token is fetched, not with this module: the import takes 300 ms
or so, which a function that never calls Databricks need not pay.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator.core.errors import TokenUnavailable
from orchestrator.core.proxy import Proxy
from orchestrator.ports import Clock

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.keyvault.secrets.aio import SecretClient

#: A secret is read again after this time, in seconds, so that a rotated token is used before the old one is
#: revoked. A revoked token shows at once, by its 401. Six reads an hour are far below Key Vault's limits.
_SECRET_SECONDS = 600.0

#: A fetch ends after this time, in seconds. Most take less than two; the request that needs the token must
#: still fit into the time of its operation.
_FETCH_SECONDS = 25.0

#: Pause after a fetch that a refused token forced, or that failed, in seconds. Ten submissions that fail
#: together must not become ten calls a second to a Key Vault that is unhealthy.
_FORCED_PAUSE_SECONDS = 5.0

#: After a failed fetch the old token is used for this time, in seconds, before a caller tries the next fetch.
_STALE_SECONDS = 60.0

#: An Entra ID token is renewed this long before it expires, in seconds. Databricks refuses it in its last
#: 30 seconds; the rest allows for slow calls and clocks that differ. azure-identity renews at the same point.
_RENEW_AHEAD_SECONDS = 300.0

#: A token is not used in this last part of its life, in seconds.
_REFUSED_AHEAD_SECONDS = 30.0

#: The resource id of Azure Databricks, the same in every tenant.
_DATABRICKS_SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"

#: What to do, by HTTP status or by the class of the error.
_ADVICE: dict[int | str, str] = {
    401: "sign-in was refused; check the app's identity and the vault's tenant",
    403: "give the app's identity the role Key Vault Secrets User and let it through the vault's firewall",
    404: "there is no such secret; check its name, and that it is enabled",
    "ClientAuthenticationError": "sign-in failed; check that the app has a managed identity",
    "CredentialUnavailableError": "this machine has no identity; sign in, or give the app a managed identity",
    "ServiceRequestError": "it cannot be reached; check its address, the network and any proxy",
    "ServiceResponseError": "no usable response; check the network and any proxy",
    "TimeoutError": f"no response within {_FETCH_SECONDS:.0f} s",
    "ValueError": "check the vault's address",
}

_T = TypeVar("_T")


class TokenSource(Protocol):
    """Gives a workspace's access token. Every method returns or raises in bounded time."""

    async def token(self) -> str:
        """Return a token, usually one held in memory. :raises TokenUnavailable: there is none."""
        ...

    async def refresh(self, stale: str) -> str:
        """Return a token after the workspace refused ``stale``; the same one when there is no other now.

        Concurrent callers cause one fetch.

        :raises TokenUnavailable: there is none.
        """
        ...

    async def close(self) -> None:
        """Close what the source opened itself."""
        ...


class StaticToken:
    """A token that never changes, for local work (``DATABRICKS_TOKEN``)."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        """Return the token."""
        return _usable(self._token, "DATABRICKS_TOKEN")

    async def refresh(self, stale: str) -> str:  # noqa: ARG002  (there is no other token)
        """Return the same token."""
        return await self.token()

    async def close(self) -> None:
        """Do nothing: nothing is open."""


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    """A token as its source gave it. Times are of the monotonic clock."""

    value: str = field(repr=False)
    #: until then the token is used without asking its source
    fresh_until: float
    #: until then the token is used when its source fails
    usable_until: float = float("inf")


class _CachedToken(ABC):
    """Holds one token, and lets one caller at a time fetch the next. Subclasses say how to fetch it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: _Fetched | None = None
        self._failure: TokenUnavailable | None = None
        self._no_fetch_before = float("-inf")
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return the held token, or fetch another one when it is no longer fresh."""
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        async with self._lock:
            return self._fresh() or await self._next(forced=False)

    async def refresh(self, stale: str) -> str:
        """Return another token than ``stale``: the one that somebody fetched meanwhile, or a new one."""
        async with self._lock:
            if self._held is not None and self._held.value != stale:
                return self._held.value
            return await self._next(forced=True)

    @abstractmethod
    async def _fetch(self) -> _Fetched:
        """Fetch a token. :raises TokenUnavailable: there is none."""

    def _fresh(self) -> str | None:
        held = self._held
        return held.value if held is not None and self._clock.monotonic() < held.fresh_until else None

    async def _next(self, *, forced: bool) -> str:
        if self._clock.monotonic() < self._no_fetch_before:
            return self._old_token()
        try:
            self._held = await self._fetch()
        except TokenUnavailable as error:
            self._failure = error
            self._no_fetch_before = self._clock.monotonic() + _FORCED_PAUSE_SECONDS
            return self._old_token()
        if forced:
            self._no_fetch_before = self._clock.monotonic() + _FORCED_PAUSE_SECONDS
        return self._held.value

    def _old_token(self) -> str:
        now = self._clock.monotonic()
        if self._held is not None and now < self._held.usable_until:
            next_fetch = min(now + _STALE_SECONDS, self._held.usable_until)
            self._held = replace(self._held, fresh_until=max(self._held.fresh_until, next_fetch))
            return self._held.value
        raise TokenUnavailable(str(self._failure or "no token is held"))


class KeyVaultToken(_CachedToken):
    """A personal access token that is kept as a secret in Key Vault.

    A held token is at most :data:`_SECRET_SECONDS` old while the vault responds.

    :param credential: returns a credential of azure-identity, which stays the caller's to close.
    :param verify_challenge_resource: False only for a stand-in of Key Vault on this machine. Otherwise the
        SDK insists on a host name under ``vault.azure.net``, so that no other host gets a vault token.
    :param ca_file: a CA bundle to trust instead of the system's.
    :param proxy: that the calls go through; None = they are made directly.
    """

    def __init__(
        self,
        vault_url: str,
        secret_name: str,
        credential: "Callable[[], AsyncTokenCredential]",
        *,
        clock: Clock,
        verify_challenge_resource: bool = True,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(clock)
        self._proxy = proxy
        self._vault_url = vault_url
        self._secret_name = secret_name
        self._credential = credential
        self._options: dict[str, Any] = {
            "verify_challenge_resource": verify_challenge_resource,
            "connection_verify": ca_file or True,
            # Otherwise a password of ~/.netrc for the vault's host would be sent, too, which the SDK refuses.
            "use_env_settings": False,
            "proxies": {"https": proxy.url} if proxy else None,
            # The SDK's defaults are 300 s, and three retries with growing waits.
            "connection_timeout": 5,
            "read_timeout": 10,
            "retry_total": 2,
            "retry_backoff_factor": 0.25,
        }
        self._client: SecretClient | None = None

    async def close(self) -> None:
        """Close the connections to the vault."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _fetch(self) -> _Fetched:
        through = f" through {self._proxy}" if self._proxy else ""
        name = f"Key Vault {self._vault_url}{through}, secret {self._secret_name}"
        value = await _from_azure(self._read_secret, name)
        return _Fetched(value=_usable(value, name), fresh_until=self._clock.monotonic() + _SECRET_SECONDS)

    async def _read_secret(self) -> str:
        from azure.keyvault.secrets.aio import SecretClient

        if self._client is None:
            self._client = SecretClient(self._vault_url, self._credential(), **self._options)
        secret = await self._client.get_secret(self._secret_name)
        return secret.value or ""


class EntraToken(_CachedToken):
    """A Microsoft Entra ID token of the app's identity, valid for an hour or so.

    azure-identity has a cache of its own that cannot be bypassed: a refresh brings another token only when
    the held one is about to expire.

    :param credential: returns a credential of azure-identity, which stays the caller's to close.
    """

    def __init__(self, credential: "Callable[[], AsyncTokenCredential]", *, clock: Clock) -> None:
        super().__init__(clock)
        self._credential = credential

    async def close(self) -> None:
        """Do nothing: nothing of its own is open."""

    async def _fetch(self) -> _Fetched:
        name = "Microsoft Entra ID, token for Azure Databricks"
        access = await _from_azure(lambda: self._credential().get_token(_DATABRICKS_SCOPE), name)
        expires = self._clock.monotonic() + access.expires_on - time.time()
        return _Fetched(
            value=_usable(access.token, name),
            fresh_until=expires - _RENEW_AHEAD_SECONDS,
            usable_until=expires - _REFUSED_AHEAD_SECONDS,
        )


async def _from_azure(fetch: Callable[[], Awaitable[_T]], name: str) -> _T:
    """Await an Azure call for at most :data:`_FETCH_SECONDS`. Its errors become :class:`TokenUnavailable`."""
    from azure.core.exceptions import AzureError

    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            return await fetch()
    except (AzureError, OSError, RuntimeError, ValueError) as error:
        # Only class and status are shown: the SDK's texts and causes hold requests, and those hold tokens.
        kind, status = type(error).__name__, getattr(error, "status_code", None)
        problem = f"{kind}, HTTP {status}" if status else kind
        advice = _ADVICE.get(status or kind) or _ADVICE.get(kind) or "the app tries again later"
        raise TokenUnavailable(f"{name}: {problem}: {advice}") from None


def _usable(value: str, name: str) -> str:
    """Return a token without the blanks around it. A secret that was pasted from a file often has some."""
    token = value.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenUnavailable(f"{name}: the value is not an access token: it is empty or has blanks in it")
    return token
