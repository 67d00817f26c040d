"""Get a workspace's access token: from the environment, Key Vault, Microsoft Entra ID or Databricks' OAuth.

The Azure packages are imported when the first token is fetched, not with this module: the import takes 300 ms
or so, which a function that never calls Databricks need not pay.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiohttp

from orchestrator.adapters.databricks import errors
from orchestrator.adapters.databricks.fields import json_object
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core.errors import TokenUnavailable
from orchestrator.core.proxy import Proxy
from orchestrator.core.urls import basic_credentials
from orchestrator.ports import Clock

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
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

#: How long a token of Databricks' OAuth is taken to live if the response does not say, in seconds, and the
#: longest life that is believed.
_USUAL_LIFE_SECONDS = 3600.0
_LONGEST_LIFE_SECONDS = 86_400.0

#: A response of the token endpoint has one or two thousand bytes.
_GRANT_BYTES = 64 * 1024

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

#: The same for a service principal of Entra ID.
_PRINCIPAL_ADVICE: dict[int | str, str] = {
    **_ADVICE,
    **dict.fromkeys(
        (400, 401, "ClientAuthenticationError"),
        "sign-in failed; check the tenant id, the client id, and that the client secret has not expired",
    ),
}

#: The same for Databricks' OAuth, by HTTP status.
_OAUTH_ADVICE = {
    **dict.fromkeys(
        (400, 401, 403),
        "check the client id, that its secret has not expired, and that the workspace has the principal",
    ),
    404: "check that the host is a Databricks workspace",
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


def workspace_header(workspace_id: int | None) -> dict[str, str]:
    """Return the header that tells the workspaces behind one host apart."""
    return {} if workspace_id is None else {"X-Databricks-Workspace-Id": str(workspace_id)}


class StaticToken:
    """A token or another secret that never changes, for local work.

    :param setting: that it comes from, for messages.
    """

    def __init__(self, token: str, setting: str = "DATABRICKS_TOKEN") -> None:
        self._token = token
        self._setting = setting

    async def token(self) -> str:
        """Return the token."""
        return _usable(self._token, self._setting)

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
    """A personal access token, or a client secret, that is kept as a secret in Key Vault.

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


class _EntraToken(_CachedToken):
    """A Microsoft Entra ID token, valid for an hour or so. Subclasses say who signs in.

    azure-identity has a cache of its own that cannot be bypassed: a refresh brings another token only when
    the held one is about to expire.
    """

    #: what to do about an error
    _advice = _ADVICE

    @abstractmethod
    async def _access(self) -> "AccessToken":
        """Sign in. :raises AzureError: it failed."""

    async def _fetch(self) -> _Fetched:
        name = "Microsoft Entra ID, token for Azure Databricks"
        access = await _from_azure(self._access, name, self._advice)
        expires = self._clock.monotonic() + access.expires_on - time.time()
        return _Fetched(
            value=_usable(access.token, name),
            fresh_until=expires - _RENEW_AHEAD_SECONDS,
            usable_until=expires - _REFUSED_AHEAD_SECONDS,
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


class OAuthToken(_CachedToken):
    """An access token of Databricks' OAuth for a service principal, valid for an hour.

    https://learn.microsoft.com/azure/databricks/dev-tools/auth/oauth-m2m

    :param host: address of the workspace, ``https://…`` without a slash at the end.
    :param secret: gives the client secret. A rotated one is read when the old one is refused.
    :param session: returns the shared session, made inside the running loop. It stays the caller's to close.
    :param workspace_id: tells the workspaces behind one host apart; None = the host has one workspace.
    :param proxy: that the calls go through; None = they are made directly.
    """

    def __init__(
        self,
        host: str,
        client_id: str,
        secret: TokenSource,
        *,
        session: Callable[[], aiohttp.ClientSession],
        clock: Clock,
        workspace_id: int | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(clock)
        self._url = f"{host}/oidc/v1/token"
        self._client_id = client_id
        self._secret = secret
        self._session = session
        self._headers = workspace_header(workspace_id)
        self._proxy = proxy
        self._name = f"Databricks OAuth, {self._url}"

    async def close(self) -> None:
        """Close the source of the secret."""
        await self._secret.close()

    async def _fetch(self) -> _Fetched:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                return await self._sign_in()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = errors.shown(str(error), self._proxy.secrets() if self._proxy else ())
            through = f"; the call goes through {self._proxy}" if self._proxy else ""
            raise TokenUnavailable(f"{self._name}: {type(error).__name__}: {reason}{through}") from None

    async def _sign_in(self) -> _Fetched:
        secret = await self._secret.token()
        response = await self._ask(secret)
        if response.status in {400, 401, 403}:
            fresh = await self._secret.refresh(secret)
            if fresh != secret:
                secret, response = fresh, await self._ask(fresh)
        if not 200 <= response.status < 300:
            raise TokenUnavailable(f"{self._name}: {self._refusal(response, secret)}")
        return self._granted(response)

    async def _ask(self, secret: str) -> Response:
        basic = basic_credentials(self._client_id, secret)
        async with self._session().post(
            self._url,
            data={"grant_type": "client_credentials", "scope": "all-apis"},
            headers={**self._headers, "Authorization": f"Basic {basic}"},
            proxy=self._proxy.url if self._proxy else None,
            allow_redirects=False,  # the secret is for this host only
            raise_for_status=False,
        ) as received:
            body = bytearray()
            async for chunk in received.content.iter_chunked(_GRANT_BYTES):
                body += chunk
                if len(body) > _GRANT_BYTES:
                    break
            return Response(status=received.status, headers=received.headers, body=bytes(body))

    def _refusal(self, response: Response, secret: str) -> str:
        """Say why there is no token, without anything that was sent."""
        start = f"HTTP {response.status}"
        if 300 <= response.status < 400:
            return f"{start}: {errors.redirect_reason(response.headers)}"
        content = json_object(response.body) or {}
        words = " ".join(
            text
            for key in ("error", "error_code", "error_description", "message")
            if isinstance(text := content.get(key), str)
        )
        hidden = (
            secret,
            basic_credentials(self._client_id, secret),
            *(self._proxy.secrets() if self._proxy else ()),
        )
        advice = _OAUTH_ADVICE.get(response.status, "the app tries again later")
        return ": ".join(part for part in (start, errors.shown(words, hidden), advice) if part)

    def _granted(self, response: Response) -> _Fetched:
        content = json_object(response.body) or {}
        token = content.get("access_token")
        value = _usable(token if isinstance(token, str) else "", self._name)
        life = _life(content.get("expires_in"))
        expires = self._clock.monotonic() + life
        return _Fetched(
            value=value,
            fresh_until=expires - min(_RENEW_AHEAD_SECONDS, life / 2),
            usable_until=expires - min(_REFUSED_AHEAD_SECONDS, life / 2),
        )


def _life(expires_in: object) -> float:
    """Return how long a token lives, in seconds, whatever the response says."""
    try:
        life = float(expires_in) if isinstance(expires_in, str | int | float) else _USUAL_LIFE_SECONDS
    except (ValueError, OverflowError):
        life = _USUAL_LIFE_SECONDS
    return min(life, _LONGEST_LIFE_SECONDS) if life > 0 else _USUAL_LIFE_SECONDS


async def _from_azure(
    fetch: Callable[[], Awaitable[_T]], name: str, advice: Mapping[int | str, str] = _ADVICE
) -> _T:
    """Await an Azure call for at most :data:`_FETCH_SECONDS`. Its errors become :class:`TokenUnavailable`."""
    from azure.core.exceptions import AzureError

    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            return await fetch()
    except (AzureError, OSError, RuntimeError, ValueError) as error:
        # Only class and status are shown: the SDK's texts and causes hold requests, and those hold tokens.
        kind, status = type(error).__name__, getattr(error, "status_code", None)
        problem = f"{kind}, HTTP {status}" if status else kind
        what_to_do = advice.get(status or kind) or advice.get(kind) or "the app tries again later"
        raise TokenUnavailable(f"{name}: {problem}: {what_to_do}") from None


def _usable(value: str, name: str) -> str:
    """Return a token without the blanks around it. A secret that was pasted from a file often has some."""
    token = value.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenUnavailable(f"{name}: the value is not an access token: it is empty or has blanks in it")
    return token
