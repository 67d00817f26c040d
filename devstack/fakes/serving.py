"""An aiohttp application on 127.0.0.1 for the time of a ``with`` block."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

HOST = "127.0.0.1"

#: No answer of the fakes takes longer.
_SHUTDOWN_SECONDS = 1.0


@asynccontextmanager
async def serving(
    app: web.Application, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve the application and give its URL.

    :param port: 0 takes a free one.
    :param tls: serve https with it.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port, ssl_context=tls)
        await site.start()
        actual_port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://{HOST}:{actual_port}"
    finally:
        await runner.cleanup()
