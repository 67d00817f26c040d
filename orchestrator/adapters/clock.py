"""Real time and chance."""

import asyncio
import random
import time


class SystemClock:
    """The clock outside of tests."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """A number from 0 up to, not including, 1."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing
