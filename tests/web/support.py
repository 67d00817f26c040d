"""Calls the API's functions as the host does, and keeps every response."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func

from orchestrator.bootstrap import Application
from orchestrator.core.models import NewEntry
from orchestrator.web.api import Api
from orchestrator.web.http import Response, from_azure
from orchestrator.web.routes import ROUTES, Route, Server
from tests import runbook
from tests.fakes import FakeRuns


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the route that takes a request, and what stands in its braces."""
    pieces = path.strip("/").split("/")
    for route in ROUTES:
        names = route.path.split("/")
        if route.method == method and len(names) == len(pieces):
            pairs = list(zip(names, pieces, strict=True))
            if all(name == piece or name.startswith("{") for name, piece in pairs):
                return route, {name[1:-1]: piece for name, piece in pairs if name.startswith("{")}
    raise AssertionError(f"no route takes {method} {path}")


@dataclass
class Site:
    """One instance of the API."""

    app: Application
    runs: FakeRuns
    database: Path
    server: Server = field(init=False)
    #: every response
    answers: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = Api(lambda: self.app)
        self.serve()

    def serve(self, **limits: Any) -> None:
        """Serve with these limits from now on."""
        self.server = Server(lambda: self.api, **limits)

    async def call(
        self, method: str, address: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Make a call and return its status and its JSON."""
        route, parts = find(method, urlsplit(address).path)
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = func.HttpRequest(
            method,
            f"http://127.0.0.1/api/{address}",
            headers={"Content-Type": "application/json", **(headers or {})},
            params=dict(parse_qsl(urlsplit(address).query)),
            route_params=parts,
            body=raw,
        )
        response = await self.server.serve(route, from_azure(request))
        self.answers.append(response)
        told = json.loads(response.content)
        if route.path == "health":
            unexplained = [each for each in told.get("reasons", []) if runbook.words_of(each) is None]
            assert unexplained == [], "docs/runbook.md does not explain these"
        return response.status.value, told

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run SQL as a third party does."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(sql, parameters).fetchall()


async def add(site: Site, *tables: str, **fields: Any) -> list[int]:
    """Insert a row for each table."""
    return await site.app.operator.add([NewEntry(table_name=table, **fields) for table in tables])
