"""The rate limits of the API, and the limiter: how many requests run at once and begin per second."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.web.http import too_many

#: Times are sums of floats: what is missing below this, in seconds, is their rounding.
_ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many requests may begin; for this process alone: each instance of the app has its own."""

    #: in the long run
    per_second: float
    #: at once after a rest
    burst: int


class Rates:
    """The rates of an instance."""

    #: Requests that change something. With one entry per request that is 36,000 entries an hour; three
    #: workspaces start fewer (10,000 runs an hour each). The burst equals what one request may insert.
    CHANGES = Rate(per_second=10, burst=1000)

    #: All other requests. A dashboard sends five every 10 s, so that sixty people may look.
    READS = Rate(per_second=30, burst=300)

    #: Events with the password. A workspace starts 10,000 runs an hour, three a second, and
    #: sends a notification of each; all runs of two workspaces (130 each by default) may end at once.
    EVENTS = Rate(per_second=10, burst=300)


class _TokenBucket:
    """Holds a rate's burst of tokens and is refilled at its pace. Each request takes one.

    It keeps the time at which it will be full again, which each token taken puts off (the generic cell rate
    algorithm of ITU-T I.371): nothing has to run meanwhile, and how long to wait needs no guess.
    """

    def __init__(self, rate: Rate, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seconds_each = 1 / rate.per_second
        self._seconds_all = rate.burst * self._seconds_each
        self._full_at = monotonic()

    def take(self) -> float:
        """Take a token, or return in how many seconds there will be one; 0 = it is taken."""
        now = self._monotonic()
        wait = self._full_at + self._seconds_each - self._seconds_all - now
        if wait > _ROUNDING_SECONDS:
            return wait
        self._full_at = max(self._full_at, now) + self._seconds_each
        return 0.0


class Limiter:
    """Refuses requests beyond its limits.

    :param what: names the requests in a refusal, as in "too many calls at once".
    :param at_once: how many may run at the same time, of all kinds together.
    :param retry_after_seconds: after a refusal for that reason.
    :param rates: how many of each kind may begin; the kind names them in a refusal.
    """

    def __init__(
        self,
        what: str,
        *,
        at_once: int,
        retry_after_seconds: float,
        rates: Mapping[str, Rate],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._at_once = at_once
        self._retry_after_seconds = retry_after_seconds
        self._buckets = {kind: _TokenBucket(rate, monotonic) for kind, rate in rates.items()}
        self._running = 0

    @contextlib.contextmanager
    def admit(self, kind: str) -> Iterator[None]:
        """Let a request run within the block. :raises Problem: it is one too many."""
        if self._running >= self._at_once:
            raise too_many(f"too many {self._what} at once", retry_after_seconds=self._retry_after_seconds)
        wait = self._buckets[kind].take()
        if wait:
            raise too_many(f"too many {kind}", retry_after_seconds=wait)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
