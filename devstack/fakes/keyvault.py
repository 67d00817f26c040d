"""Azure Key Vault's secrets, as far as reading them goes: challenge, versions, errors.

https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from devstack.fakes import certificate
from devstack.serving import serving

RESOURCE = "https://vault.azure.net"
_TENANT = "00000000-0000-0000-0000-000000000001"
#: The SDK does not ask for a token before it was sent away with this.
_CHALLENGE = f'Bearer authorization="https://login.windows.net/{_TENANT}", resource="{RESOURCE}"'


class FakeKeyVault:
    """A vault whose secrets and faults may change at any time. Start it with :meth:`serve`.

    :param accepts: tells whether a bearer token is one for a resource (:meth:`FakeIdentity.accepts`).
    """

    def __init__(self, accepts: Callable[[str, str], bool]) -> None:
        self._accepts = accepts
        #: secret name → (version, value)
        self._secrets: dict[str, tuple[str, str]] = {}
        #: answer every authorised request with this HTTP status, None to work
        self.fault: int | None = None
        #: refuse every authorised request for this reason: SecretDisabled, ForbiddenByRbac, …
        self.refusal: str | None = None
        #: authorised requests so far
        self.reads = 0
        #: base URL, once it serves
        self.url = ""
        #: the certificate that a client must trust, once it serves
        self.ca_file = Path()

    def set_secret(self, name: str, value: str) -> None:
        """Make a new version of a secret; reads without a version get it from now on."""
        self._secrets[name] = (secrets.token_hex(16), value)

    @asynccontextmanager
    async def serve(self, folder: Path, *, port: int = 0) -> AsyncIterator["FakeKeyVault"]:
        """Serve for the time of the block.

        :param folder: the certificate is put there.
        """
        self.ca_file = certificate.create(folder)
        tls = certificate.server_context(self.ca_file)
        async with serving(self.application(), port=port, tls=tls) as self.url:
            yield self

    def application(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_get("/secrets/{name}", self._get)
        app.router.add_get("/secrets/{name}/{version:.*}", self._get)
        return app

    def environment(self) -> dict[str, str]:
        """What the app and the Python TLS library read. ``SSL_CERT_FILE`` counts at a process's start."""
        return {"KEY_VAULT_URL": self.url, "SSL_CERT_FILE": str(self.ca_file)}

    async def _get(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not self._accepts(token, RESOURCE):
            response = _error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
            response.headers["WWW-Authenticate"] = _CHALLENGE
            return response
        self.reads += 1
        if self.fault is not None:
            return _error(self.fault, "Fault", "the vault fails on request")
        if self.refusal is not None:
            return _error(403, "Forbidden", "the vault refuses on request", inner=self.refusal)
        name, wanted = request.match_info["name"], request.match_info.get("version", "")
        version, value = self._secrets.get(name, ("", ""))
        if not version or wanted not in {"", version}:
            message = f"A secret with (name/id) {name} was not found in this key vault."
            return _error(404, "SecretNotFound", message)
        now = int(time.time())
        answer = {
            "value": value,
            "id": f"{self.url}/secrets/{name}/{version}",
            "attributes": {"enabled": True, "created": now, "updated": now},
        }
        return web.json_response(answer)


def _error(status: int, code: str, message: str, *, inner: str | None = None) -> web.Response:
    innererror = {"innererror": {"code": inner}} if inner else {}
    error = {"code": code, "message": message, **innererror}
    return web.json_response({"error": error}, status=status)
