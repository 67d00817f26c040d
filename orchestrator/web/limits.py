"""How many calls in which time: a token bucket for each kind of call."""

import time
from collections.abc import Callable
from dataclasses import dataclass

#: Times are sums of floats: what is missing below this, in seconds, is their rounding.
_ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A bound of this process alone: each instance of the app has its own."""

    #: in the long run
    per_second: float
    #: calls at once after a rest
    burst: int


class TokenBucket:
    """Holds a rate's burst of tokens and is filled at its pace. Each call takes one.

    It keeps the time at which it will be full again, which each token taken puts off (the generic cell rate
    algorithm of ITU-T I.371): nothing has to run meanwhile, and how long to wait needs no guess.
    """

    def __init__(self, rate: Rate, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seconds_each = 1 / rate.per_second
        self._seconds_all = rate.burst * self._seconds_each
        self._full_at = monotonic()

    def take(self) -> float:
        """Take a token, or return how many seconds from now there will be one; 0 = it is taken."""
        now = self._monotonic()
        wait = self._full_at + self._seconds_each - self._seconds_all - now
        if wait > _ROUNDING_SECONDS:
            return wait
        self._full_at = max(self._full_at, now) + self._seconds_each
        return 0.0
