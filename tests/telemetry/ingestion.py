"""A local stand-in of the service that Azure Monitor's exporter sends to."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "11111111-2222-3333-4444-555555555555"


@dataclass
class Ingestion:
    """Keeps every item that it receives."""

    items: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment that makes an app send everything here."""
        return {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={KEY};IngestionEndpoint={self.url}/"
            ),
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "OTEL_TRACES_SAMPLER": "always_on",  # by default five a second are kept, fewer at the start
        }

    async def track(self, request: web.Request) -> web.Response:
        """Accept items, compressed or not."""
        body = await request.read()
        is_packed = body[:2] == b"\x1f\x8b"
        self.items.extend(json.loads(gzip.decompress(body) if is_packed else body))
        return web.json_response({"itemsReceived": 1, "itemsAccepted": 1, "errors": []})


@asynccontextmanager
async def ingestion() -> AsyncIterator[Ingestion]:
    """Listen on a free port."""
    made = Ingestion()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/{anything:.*}", made.track)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()
