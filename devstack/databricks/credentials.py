"""Who may call: personal access tokens, and OAuth tokens of service principals."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from devstack.databricks.errors import ApiError, bad_token, no_credentials, oauth_error

SCOPE = "all-apis"

#: How long an OAuth token is accepted.
TOKEN_SECONDS = 3600.0


class Credentials:
    """Checks the credentials of requests and issues OAuth tokens.

    An OAuth token is signed with its service principal's secret. So nothing has to be kept of it, it outlives
    a restart, and it ends when the secret is replaced.

    :param tokens: personal access tokens; without them and without clients every token is accepted.
    :param clients: client id of each service principal → its secret.
    :param token_seconds: how long an OAuth token is accepted.
    :param clock: returns epoch seconds.
    """

    def __init__(
        self,
        *,
        tokens: Collection[str],
        clients: Mapping[str, str],
        token_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._tokens = frozenset(tokens)
        self._clients = dict(clients)
        self._token_seconds = token_seconds
        self._clock = clock

    def replace_tokens(self, tokens: Collection[str]) -> None:
        """Accept these personal access tokens and no others."""
        self._tokens = frozenset(tokens)

    def replace_clients(self, clients: Mapping[str, str]) -> None:
        """Know these service principals and no others; their tokens of other secrets end."""
        self._clients = dict(clients)

    def check(self, authorization: str) -> None:
        """Check an ``Authorization`` header. :raises ApiError: it holds no accepted bearer token."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise no_credentials()
        if (self._tokens or self._clients) and token not in self._tokens and not self._issued(token):
            raise bad_token()

    def issue(self, authorization: str, form: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a token request (RFC 6749, client credentials). :raises ApiError: it is refused."""
        if form.get("grant_type") != "client_credentials":
            raise oauth_error(400, "unsupported_grant_type", "grant_type must be client_credentials")
        client, secret = _basic(authorization)
        known = self._clients.get(client)
        if known is None or not hmac.compare_digest(known.encode(), secret.encode()):
            raise oauth_error(401, "invalid_client", "Client authentication failed")
        if form.get("scope") != SCOPE:
            raise oauth_error(400, "invalid_scope", f"The scope must be {SCOPE}")
        claims = json.dumps({"client": client, "expires": self._clock() + self._token_seconds})
        payload = base64.urlsafe_b64encode(claims.encode()).decode()
        return {
            "access_token": f"{payload}.{_sign(payload, known)}",
            "token_type": "Bearer",
            "scope": SCOPE,
            "expires_in": int(self._token_seconds),
        }

    def _issued(self, token: str) -> bool:
        payload, _, signature = token.partition(".")
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload))
            secret, expires = self._clients[claims["client"]], float(claims["expires"])
        except (binascii.Error, ValueError, KeyError, TypeError):
            return False
        genuine = hmac.compare_digest(_sign(payload, secret).encode(), signature.encode())
        return genuine and self._clock() < expires


def _sign(payload: str, secret: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), "sha256").hexdigest()


def _basic(authorization: str) -> tuple[str, str]:
    """Read basic authentication. :raises ApiError: there is none."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        client, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise oauth_error(401, "invalid_client", "Client authentication is missing")
    return client, secret


def parse_clients(body: Mapping[str, Any]) -> dict[str, str]:
    """Read service principals: client id → secret. :raises ApiError: they cannot be used."""
    clients = body.get("clients")
    if not isinstance(clients, dict) or not all(isinstance(secret, str) for secret in clients.values()):
        raise ApiError(400, "INVALID_PARAMETER_VALUE", "clients must be an object with texts.")
    return clients
