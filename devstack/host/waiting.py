"""Waiting that a stop cuts short."""

import asyncio


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for some seconds or for the stop, whichever comes first; returns whether the stop came."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return stop.is_set()
    return True
