"""A workspace that issues OAuth tokens for a service principal and asks for them."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.databricks.support import Reply

CLIENT_ID = "0a1b2c3d-1111-2222-3333-444455556666"
#: The secret that must be seen nowhere but in the token request.
CLIENT_SECRET = "dose-canary-8d2f6b7e90"

#: What a request looks like that was signed with the secret.
BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()


@dataclass
class OAuthWorkspace:
    """Issues tokens at ``/oidc/v1/token``, and answers a job to whoever has one of them."""

    secret: str = CLIENT_SECRET
    #: of a token's response, as it is
    expires_in: object = 3600
    #: answers a token request instead; None = it works
    fault: Reply | None = None
    #: tokens in the order of issue
    issued: list[str] = field(default_factory=list)
    #: tokens that the API no longer accepts
    revoked: set[str] = field(default_factory=set)
    job_name: str = "load"
    #: says so to every call; None = they are answered
    refusal: str | None = None
    #: form fields of the token requests
    forms: list[dict[str, str]] = field(default_factory=list)
    #: of all requests
    workspace_ids: list[str | None] = field(default_factory=list)
    #: bearer tokens that the API was called with
    calls: list[str] = field(default_factory=list)
    #: once set, token requests go on; None = they do at once
    gate: asyncio.Event | None = None
    #: set by the first token request
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["OAuthWorkspace"]:
        app = web.Application()
        app.router.add_post("/oidc/v1/token", self._token)
        app.router.add_route("*", "/api/{path:.*}", self._api)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server(shutdown_timeout=0.1)
        self.url = str(server.make_url("/")).rstrip("/")
        try:
            yield self
        finally:
            await server.close()

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        self.workspace_ids.append(request.headers.get("X-Databricks-Workspace-Id"))
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            return await self.fault(request)
        wanted = base64.b64encode(f"{CLIENT_ID}:{self.secret}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            content = {"error": "invalid_client", "error_description": "Client authentication failed"}
            return web.json_response(content, status=401)
        self.issued.append(f"oauth-token-{len(self.issued) + 1}-canary")
        content = {"access_token": self.issued[-1], "token_type": "Bearer", "scope": "all-apis"}
        lifetime = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return web.json_response({**content, **lifetime})

    async def _api(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.calls.append(token)
        self.workspace_ids.append(request.headers.get("X-Databricks-Workspace-Id"))
        if token not in self.issued or token in self.revoked:
            content = {"error_code": "UNAUTHENTICATED", "message": "Invalid access token"}
            return web.json_response(content, status=401)
        if request.path.endswith("runs/list"):
            return web.json_response({"has_more": False})
        if self.refusal is not None:
            return web.json_response({"message": self.refusal}, status=400)
        return web.json_response(
            {"job_id": 7, "settings": {"name": self.job_name, "max_concurrent_runs": 200}}
        )
