"""A limit of requests a second, as a token bucket that holds one second's worth."""

import math
from collections.abc import Callable


class RateLimit:
    """A limit for all callers together.

    :param per_second: requests let through a second, 0 = no limit.
    :param clock: returns seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._left = self._most
        self._clock = clock
        self._seen_at = clock()

    def wait_seconds(self) -> int:
        """Take one request; return 0 when it may pass, else after how many whole seconds to try again."""
        if not self._per_second:
            return 0
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._seen_at) * self._per_second)
        self._seen_at = now
        if self._left >= 1:
            self._left -= 1
            return 0
        return math.ceil((1 - self._left) / self._per_second)
