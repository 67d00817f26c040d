"""Real time and real randomness, which tests replace."""

import asyncio
import random
import time


class SystemClock:
    """The clock that the app uses (the port ``Clock``)."""

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """Return a random number from 0 up to, but not including, 1."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing
