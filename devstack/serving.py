"""What every part that serves HTTP does: listen on 127.0.0.1, and end by SIGTERM or Ctrl-C."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

ADDRESS = "127.0.0.1"

#: How long answers under way may take at the end.
SHUTDOWN_SECONDS = 2.0


@asynccontextmanager
async def serving(
    app: web.Application, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve an application for the time of the block and give its URL.

    :param port: 0 takes a free one.
    :param tls: serve https with it.
    :raises OSError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, ADDRESS, port, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://{ADDRESS}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def asked_to_stop() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on, in place of ending the process."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked
