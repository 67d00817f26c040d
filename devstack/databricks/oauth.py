"""The workspace's OAuth endpoints, and how clients find them."""

from aiohttp import web

from devstack.databricks.routes import host_of
from devstack.databricks.simulator import Simulator


class OAuthApi:
    """The handlers of ``/oidc`` and of ``/.well-known``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        """Every endpoint that is served."""
        return [
            web.get("/.well-known/databricks-config", self.configuration),
            web.get("/oidc/.well-known/oauth-authorization-server", self.endpoints),
            web.post("/oidc/v1/token", self.token),
        ]

    async def configuration(self, request: web.Request) -> web.Response:
        """Where OAuth is, and which workspace this is if it has an id."""
        workspace_id = self._simulator.workspace_id
        identity = {} if workspace_id is None else {"workspace_id": str(workspace_id)}
        return web.json_response({"oidc_endpoint": f"{host_of(request)}/oidc", **identity})

    async def endpoints(self, request: web.Request) -> web.Response:
        """The endpoints of OAuth; authorization by a person is not served."""
        oidc = f"{host_of(request)}/oidc"
        return web.json_response(
            {
                "issuer": oidc,
                "authorization_endpoint": f"{oidc}/v1/authorize",
                "token_endpoint": f"{oidc}/v1/token",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def token(self, request: web.Request) -> web.Response:
        """Issue a token to a service principal."""
        form = await request.post()
        authorization = request.headers.get("Authorization", "")
        return web.json_response(self._simulator.credentials.issue(authorization, form))
