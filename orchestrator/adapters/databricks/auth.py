"""Where the access token of a workspace comes from: the environment, Key Vault or Microsoft Entra ID.

The Azure packages are imported when the first token is fetched, not with this module: they cost 300 ms or so,
which a function that never talks to Databricks need not pay.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator.core.errors import TokenUnavailable
from orchestrator.ports import Clock

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.keyvault.secrets.aio import SecretClient

#: A secret is read again after this time, in seconds, so that a rotated token is in use before the old one is
#: revoked; a revoked one is noticed at once by its 401. Six reads an hour are far below Key Vault's limits.
SECRET_SECONDS = 600.0

#: A fetch ends after this time, in seconds. The usual one takes less than two; the rest of an operation's
#: time is needed for the call that wants the token.
FETCH_SECONDS = 25.0

#: Between two fetches that a refused token forces, or after one that failed, in seconds: ten submissions
#: that fail together must not become ten calls a second to a Key Vault in trouble.
FORCED_PAUSE_SECONDS = 5.0

#: After a failed fetch the old token is used this long, in seconds, before the next caller waits for a fetch.
STALE_SECONDS = 60.0

#: An Entra ID token is renewed this long before it expires, in seconds. The back end refuses it in its last
#: 30 seconds; the rest is for slow calls and clocks that differ. azure-identity renews at the same distance.
RENEW_AHEAD_SECONDS = 300.0

#: An expiring token is not used in this last part of its life, in seconds.
REFUSED_AHEAD_SECONDS = 30.0

#: The resource id of Azure Databricks, the same in every tenant.
DATABRICKS_SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"

#: What to do, by HTTP status or by the class of the error.
_ADVICE: dict[int | str, str] = {
    401: "sign-in was refused; check the app's identity and the vault's tenant",
    403: "give the app's identity the role Key Vault Secrets User and let it through the vault's firewall",
    404: "there is no such secret; check its name and that it is enabled",
    "ClientAuthenticationError": "sign-in failed; check that the app has a managed identity",
    "CredentialUnavailableError": "this machine has no identity; sign in, or give the app a managed identity",
    "ServiceRequestError": "it cannot be reached; check its address and the network",
    "TimeoutError": f"no answer in {FETCH_SECONDS:.0f} s",
    "ValueError": "check the vault's address",
}

T = TypeVar("T")


class TokenSource(Protocol):
    """Gives a workspace's access token. Returns or raises in bounded time."""

    async def token(self) -> str:
        """Return a token, usually one held in memory. :raises TokenUnavailable: there is none."""
        ...

    async def refresh(self, stale: str) -> str:
        """Return a token after ``stale`` was not accepted; the same one when no other is to be had now.

        Callers that come together cause one fetch.

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
        """Nothing is open."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A fetched token; times are of the monotonic clock."""

    value: str = field(repr=False)
    #: until then it is given out without a look at its source
    fresh_until: float
    #: until then it is given out when its source fails
    usable_until: float = float("inf")


class _HeldToken:
    """Keeps one token, and lets one caller at a time fetch the next."""

    def __init__(self, fetch: Callable[[], Awaitable[_Held]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._held: _Held | None = None
        self._failure: TokenUnavailable | None = None
        self._no_fetch_before = float("-inf")
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return the held token, or a new one when its time is over."""
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        async with self._lock:
            return self._fresh() or await self._next(forced=False)

    async def refresh(self, stale: str) -> str:
        """Return another token than ``stale`` if there is one."""
        async with self._lock:
            if self._held is not None and self._held.value != stale:
                return self._held.value
            return await self._next(forced=True)

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
            self._no_fetch_before = self._clock.monotonic() + FORCED_PAUSE_SECONDS
            return self._old_token()
        if forced:
            self._no_fetch_before = self._clock.monotonic() + FORCED_PAUSE_SECONDS
        return self._held.value

    def _old_token(self) -> str:
        now = self._clock.monotonic()
        if self._held is not None and now < self._held.usable_until:
            again = min(now + STALE_SECONDS, self._held.usable_until)
            self._held = replace(self._held, fresh_until=max(self._held.fresh_until, again))
            return self._held.value
        raise TokenUnavailable(str(self._failure or "no token is held"))


class KeyVaultToken:
    """A personal access token kept as a secret in Key Vault.

    :param credential: one of azure-identity's; stays the caller's to close.
    :param verify_challenge_resource: False only for a stand-in of Key Vault on this machine: the SDK else
        insists on a host name under ``vault.azure.net``, so that no other host is given a token for it.
    :param ca_file: a CA bundle to trust instead of the system's.
    """

    def __init__(
        self,
        vault_url: str,
        secret_name: str,
        credential: "AsyncTokenCredential",
        *,
        clock: Clock,
        verify_challenge_resource: bool = True,
        ca_file: str | None = None,
    ) -> None:
        self._vault_url = vault_url
        self._secret_name = secret_name
        self._credential = credential
        self._clock = clock
        self._options: dict[str, Any] = {
            "verify_challenge_resource": verify_challenge_resource,
            "connection_verify": ca_file or True,
            # The SDK's own: 300 s, and three retries with ever longer waits.
            "connection_timeout": 5,
            "read_timeout": 10,
            "retry_total": 2,
            "retry_backoff_factor": 0.25,
        }
        self._client: SecretClient | None = None
        self._cache = _HeldToken(self._fetch, clock)

    async def token(self) -> str:
        """Return the secret's value, at most :data:`SECRET_SECONDS` old while the vault answers."""
        return await self._cache.token()

    async def refresh(self, stale: str) -> str:
        """Read the secret again, unless somebody just did."""
        return await self._cache.refresh(stale)

    async def close(self) -> None:
        """Close the connections to the vault."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _fetch(self) -> _Held:
        name = f"Key Vault {self._vault_url}, secret {self._secret_name}"
        value = await _from_azure(self._read_secret, name)
        return _Held(value=_usable(value, name), fresh_until=self._clock.monotonic() + SECRET_SECONDS)

    async def _read_secret(self) -> str:
        from azure.keyvault.secrets.aio import SecretClient

        if self._client is None:
            self._client = SecretClient(self._vault_url, self._credential, **self._options)
        secret = await self._client.get_secret(self._secret_name)
        return secret.value or ""


class EntraToken:
    """A Microsoft Entra ID token of the app's identity, valid for an hour or so.

    azure-identity keeps a cache of its own that cannot be passed by: a refresh brings another token only when
    the held one is near its end.

    :param credential: one of azure-identity's; stays the caller's to close.
    """

    def __init__(self, credential: "AsyncTokenCredential", *, clock: Clock) -> None:
        self._credential = credential
        self._clock = clock
        self._cache = _HeldToken(self._fetch, clock)

    async def token(self) -> str:
        """Return a token with some minutes of life left while Entra ID answers."""
        return await self._cache.token()

    async def refresh(self, stale: str) -> str:
        """Ask the credential again, unless somebody just did."""
        return await self._cache.refresh(stale)

    async def close(self) -> None:
        """Nothing of its own is open."""

    async def _fetch(self) -> _Held:
        name = "Microsoft Entra ID, token for Azure Databricks"
        access = await _from_azure(lambda: self._credential.get_token(DATABRICKS_SCOPE), name)
        expires = self._clock.monotonic() + access.expires_on - time.time()
        return _Held(
            value=_usable(access.token, name),
            fresh_until=expires - RENEW_AHEAD_SECONDS,
            usable_until=expires - REFUSED_AHEAD_SECONDS,
        )


async def _from_azure(fetch: Callable[[], Awaitable[T]], name: str) -> T:
    """Await an Azure call within :data:`FETCH_SECONDS`; its errors become :class:`TokenUnavailable`."""
    from azure.core.exceptions import AzureError

    try:
        async with asyncio.timeout(FETCH_SECONDS):
            return await fetch()
    except (AzureError, OSError, RuntimeError, ValueError) as error:
        # Only class and status are told: the SDK's texts and causes hold requests, and those hold tokens.
        kind, status = type(error).__name__, getattr(error, "status_code", None)
        problem = f"{kind}, HTTP {status}" if status else kind
        advice = _ADVICE.get(status or kind) or _ADVICE.get(kind) or "it is tried again later"
        raise TokenUnavailable(f"{name}: {problem}: {advice}") from None


def _usable(value: str, name: str) -> str:
    """Return a token without the blanks around it, which a secret pasted from a file often has."""
    token = value.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenUnavailable(f"{name}: what it holds is not an access token (empty, or with blanks in it)")
    return token
