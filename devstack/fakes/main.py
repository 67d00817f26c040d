"""Both fakes in one process, steered over plain HTTP on the identity's port.

``GET /environment`` answers what the app's process needs in its environment, as JSON.
``PUT /secrets/NAME`` with ``{"value": …}`` makes a new version of a secret.
``PUT /faults`` with ``{"vault": 503, "identity": null}`` sets the HTTP status that each fails with, null for
none.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from aiohttp import web

from devstack.fakes.identity import FakeIdentity
from devstack.fakes.keyvault import FakeKeyVault
from devstack.processes import READY
from devstack.serving import asked_to_stop, serving


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C. Prints ``ready fakes URL`` with the URL to steer by."""
    parser = argparse.ArgumentParser(prog="python -m devstack fakes", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the identity; 0 takes a free one")
    parser.add_argument("--vault-port", type=int, default=0, help="of the Key Vault; 0 takes a free one")
    parser.add_argument("--secret", action="append", default=[], metavar="NAME=VALUE", help="to begin with")
    options = parser.parse_args(argv)
    if not all("=" in secret for secret in options.secret):
        parser.error("--secret wants NAME=VALUE")
    asyncio.run(_serve(options.port, options.vault_port, options.secret))
    return 0


async def _serve(port: int, vault_port: int, initial: list[str]) -> None:
    identity = FakeIdentity()
    vault = FakeKeyVault(identity.accepts)
    for secret in initial:
        name, _, value = secret.partition("=")
        vault.set_secret(name, value)
    app = identity.application()
    _Steering(identity, vault).add_routes(app)
    stop = asked_to_stop()
    with tempfile.TemporaryDirectory(prefix="fakes-") as folder:
        async with vault.serve(Path(folder), port=vault_port), serving(app, port=port) as identity.url:
            print(f"{READY}fakes {identity.url}", flush=True)
            await stop.wait()


class _Steering:
    """The requests by which a test or a person changes what the fakes do."""

    def __init__(self, identity: FakeIdentity, vault: FakeKeyVault) -> None:
        self._identity = identity
        self._vault = vault

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/environment", self._environment)
        app.router.add_put("/secrets/{name}", self._set_secret)
        app.router.add_put("/faults", self._set_faults)

    async def _environment(self, _: web.Request) -> web.Response:
        return web.json_response({**self._identity.environment(), **self._vault.environment()})

    async def _set_secret(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._vault.set_secret(request.match_info["name"], str(body["value"]))
        return web.json_response({})

    async def _set_faults(self, request: web.Request) -> web.Response:
        faults = await request.json()
        self._vault.fault = faults.get("vault")
        self._identity.fault = faults.get("identity")
        return web.json_response({})
