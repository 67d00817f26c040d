"""A managed identity as App Service and Functions offer it to the process of an app.

``GET IDENTITY_ENDPOINT?resource=…`` with the header ``X-IDENTITY-HEADER`` answers an access token:
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from devstack.serving import serving

PATH = "/msi/token"


class FakeIdentity:
    """Issues tokens and remembers what each is for. Start it with :meth:`serve`."""

    def __init__(self) -> None:
        #: value of IDENTITY_HEADER: keeps other processes of the machine out
        self.header = secrets.token_urlsafe(16)
        #: seconds that the tokens issued from now on are valid for
        self.lifetime = 3600
        #: answer everything with this HTTP status, None to work
        self.fault: int | None = None
        #: token → the resource that it is for, in the order of issue
        self.issued: dict[str, str] = {}
        #: client ids that tokens were asked for, None = the app's own identity, in the order of issue
        self.clients: list[str | None] = []
        #: resource ids of user-assigned identities that tokens were asked for, in the same way
        self.resources: list[str | None] = []
        #: base URL, once it serves
        self.url = ""

    @asynccontextmanager
    async def serve(self, *, port: int = 0) -> AsyncIterator["FakeIdentity"]:
        """Serve for the time of the block."""
        async with serving(self.application(), port=port) as self.url:
            yield self

    def application(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_get(PATH, self._token)
        return app

    def environment(self) -> dict[str, str]:
        """What azure-identity reads."""
        return {"IDENTITY_ENDPOINT": self.url + PATH, "IDENTITY_HEADER": self.header}

    def accepts(self, token: str, resource: str) -> bool:
        """Whether the token was issued for this resource."""
        return self.issued.get(token, "").rstrip("/") == resource

    async def _token(self, request: web.Request) -> web.Response:
        if self.fault is not None:
            return web.json_response({"message": "the identity fails on request"}, status=self.fault)
        if request.headers.get("X-IDENTITY-HEADER") != self.header:
            return web.json_response({"message": "wrong X-IDENTITY-HEADER"}, status=401)
        resource = request.query.get("resource", "")
        if not resource:
            return web.json_response({"message": "the resource is missing"}, status=400)
        token = f"fake-identity-token-{secrets.token_urlsafe(16)}"
        self.issued[token] = resource
        self.clients.append(request.query.get("client_id"))
        self.resources.append(request.query.get("mi_res_id"))
        answer = {
            "access_token": token,
            "expires_on": str(int(time.time()) + self.lifetime),
            "resource": resource,
            "token_type": "Bearer",
        }
        return web.json_response(answer)
