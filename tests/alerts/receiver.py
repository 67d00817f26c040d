"""An alert receiver on this machine whose responses the test chooses."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: The secret part of the webhook's address.
SIGNATURE = "sig%2Fq8VhT2mWcX5eRz0uKpY7sDfJ4aGbLn1oQ"


@dataclass
class Receiver:
    """Keeps the alerts that it accepted.

    An answer is an HTTP status; ``"drop"``: the message is taken, and the answer lost; ``"hang"``: there is
    no answer until the caller gives up.
    """

    #: the next responses in order; then always 200
    answers: list[int | str] = field(default_factory=list)
    #: bodies that got a 2xx response
    taken: list[dict[str, Any]] = field(default_factory=list)
    #: bodies whose sender cannot know whether they were accepted
    doubtful: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    calls: int = 0
    url: str = ""
    #: what a redirect names
    moved_to: str = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Receiver"]:
        """Listen on a free port of this machine."""
        app = web.Application()
        app.router.add_post("/{anything:.*}", self._take)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/hooks/a?sig={SIGNATURE}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def reported(self) -> Counter[int]:
        """Count how often each entry was reported."""
        return Counter(int(row["id"]) for message in self.taken for row in message["entries"])

    def reported_passes(self, kind: str) -> Counter[tuple[str, str]]:
        """Count the reports of each late or recovered event, uncertain ones included."""
        return Counter(
            (last_pass["name"], last_pass["since"])
            for message in (*self.taken, *self.doubtful)
            for last_pass in message["passes"]
            if message["kind"] == kind
        )

    async def _take(self, request: web.Request) -> web.Response:
        self.calls += 1
        self.paths.append(request.raw_path)
        body = await request.json()
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, int) and 200 <= answer < 300:
            self.taken.append(body)
        elif answer in {"drop", "hang", 500, 502, 504}:
            self.doubtful.append(body)
        if answer == "hang":
            await asyncio.Event().wait()
        if answer == "drop" and request.transport is not None:
            request.transport.abort()
        headers = {"Location": self.moved_to} if self.moved_to else None
        return web.Response(status=answer if isinstance(answer, int) else 200, headers=headers)
