"""Sign in to a workspace with Databricks' own OAuth, as a service principal."""

import asyncio
from collections.abc import Callable

import aiohttp

from orchestrator.adapters.databricks import errors
from orchestrator.adapters.databricks.auth.token_source import (
    FETCH_SECONDS,
    REFUSED_AHEAD_SECONDS,
    RENEW_AHEAD_SECONDS,
    CachedToken,
    Fetched,
    TokenSource,
    usable,
    workspace_header,
)
from orchestrator.adapters.databricks.fields import json_object
from orchestrator.adapters.databricks.responses import Response
from orchestrator.core.errors import TokenUnavailable
from orchestrator.core.proxy import Proxy
from orchestrator.core.urls import basic_credentials
from orchestrator.ports import Clock

#: How long a token of Databricks' OAuth is taken to live if the response does not say, in seconds, and the
#: longest life that is believed.
_USUAL_LIFE_SECONDS = 3600.0
_LONGEST_LIFE_SECONDS = 86_400.0

#: A response of the token endpoint has one or two thousand bytes.
_GRANT_BYTES = 64 * 1024

#: The same for Databricks' OAuth, by HTTP status.
_OAUTH_ADVICE = {
    **dict.fromkeys(
        (400, 401, 403),
        "check the client id, that its secret has not expired, and that the workspace has the principal",
    ),
    404: "check that the host is a Databricks workspace",
}


class OAuthToken(CachedToken):
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

    def secrets(self) -> tuple[str, ...]:
        """Return the tokens held so far, and the client secrets."""
        return (*super().secrets(), *self._secret.secrets())

    async def close(self) -> None:
        """Close the source of the secret."""
        await self._secret.close()

    async def _fetch(self) -> Fetched:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._sign_in()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = errors.shown(str(error), self._proxy.secrets() if self._proxy else ())
            through = f"; the call goes through {self._proxy}" if self._proxy else ""
            raise TokenUnavailable(f"{self._name}: {type(error).__name__}: {reason}{through}") from None

    async def _sign_in(self) -> Fetched:
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

    def _granted(self, response: Response) -> Fetched:
        content = json_object(response.body) or {}
        token = content.get("access_token")
        value = usable(token if isinstance(token, str) else "", self._name)
        life = _life(content.get("expires_in"))
        expires = self._clock.monotonic() + life
        return Fetched(
            value=value,
            fresh_until=expires - min(RENEW_AHEAD_SECONDS, life / 2),
            usable_until=expires - min(REFUSED_AHEAD_SECONDS, life / 2),
        )


def _life(expires_in: object) -> float:
    """Return how long a token lives, in seconds, whatever the response says."""
    try:
        life = float(expires_in) if isinstance(expires_in, str | int | float) else _USUAL_LIFE_SECONDS
    except (ValueError, OverflowError):
        life = _USUAL_LIFE_SECONDS
    return min(life, _LONGEST_LIFE_SECONDS) if life > 0 else _USUAL_LIFE_SECONDS
