"""Hold back and space the calls of an endpoint after the workspace has said that they are too many."""

import math

from orchestrator.core.errors import DatabricksError
from orchestrator.ports import Clock

#: Pauses of an endpoint that does not say how long to wait, in seconds: the first, which doubles from refusal
#: to refusal, and the longest.
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60.0

#: Callers that wait call again within this time after the pause, in seconds, or within a fifth of the pause
#: if that is longer. ``run-now`` takes some 20 calls a second, and one instance submits ten at once.
_SPREAD_SECONDS = 0.5

#: Calls a second after the first refusal, and the share by which they grow in a second of use until the next
#: one.
_FIRST_RATE = 1.0
_GROWTH = 0.18

#: An endpoint takes more calls in a burst than in the long run, so that a rate that grows fast is refused too
#: late, by about this factor.
_OVERSHOOT = 1.3

#: After each further refusal: the part by which the rate falls, and seconds of use until it is back at what
#: was refused. It comes near that soon, stays there for long, and only then rises beyond (the law of TCP
#: CUBIC, RFC 9438).
_CUT = 0.2
_BACK_AFTER_SECONDS = 60.0

#: A rate that no endpoint is known to limit: calls are no longer spaced.
_UNLIMITED = 200.0


class Pace:
    """How many calls a second an endpoint takes, as far as its refusals have told. Pure.

    Nobody waits before the first refusal. Each instance learns for itself, so that several share what the
    endpoint takes. The rate grows with the time in which calls are made: a pause teaches nothing.
    """

    def __init__(self) -> None:
        #: what was refused last, calls a second; None = not known
        self._refused: float | None = None
        #: seconds of use since then; None = nothing was refused
        self._used: float | None = None
        self._next_at = float("-inf")
        self._turn_at = float("-inf")

    def refused(self) -> None:
        """Note that the calls were too many."""
        if self._used is not None:
            refused = self.rate() / (_OVERSHOOT if self._refused is None else 1)
            # Less says nothing of a rate: it is an outage, or the share of one among very many instances.
            self._refused = refused if refused > _FIRST_RATE / (1 - _CUT) else None
        self._used = 0.0

    def rate(self) -> float:
        """Return how many calls a second may be made; infinity = any number."""
        if self._used is None:
            return math.inf
        if self._refused is None:
            return _FIRST_RATE * math.exp(_GROWTH * self._used)
        return self._refused * (1 + _CUT * (self._used / _BACK_AFTER_SECONDS - 1) ** 3)

    def turn(self, now: float) -> float:
        """Return how many seconds a caller has to wait before it asks again; 0 = it calls now."""
        if self._used is None:
            return 0.0
        if now < self._next_at:
            return self._next_at - now
        self._used += min(1.0, now - self._turn_at)
        self._turn_at = now
        rate = self.rate()
        if rate > _UNLIMITED:
            self._refused = self._used = None
            return 0.0
        # One turn that came late is made up for.
        self._next_at = max(self._next_at, now - 1 / rate) + 1 / rate
        return 0.0


class RateGate:
    """When the next call of one endpoint may be made.

    Databricks limits how often each endpoint is called, so a refusal of one call concerns all callers of that
    endpoint, and no other: monitoring goes on while submissions wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_at = float("-inf")
        self._refusals = 0
        self._pace = Pace()
        #: how often the gate was closed; a caller notes it before a call
        self.closed = 0
        #: what the workspace said when it refused the last call
        self.refusal: DatabricksError | None = None

    def close(self, refusal: DatabricksError, *, retry_after: float | None, closed: int) -> None:
        """Let no call through for a time, because one was refused.

        :param retry_after: seconds that the workspace asked to wait; 0 or None = a pause that grows from
            refusal to refusal. Of calls that were made at the same time only the first one lets it grow.
        :param closed: what :attr:`closed` was before the call.
        """
        if closed == self.closed:
            self.closed += 1
            self._refusals += 1
            self._pace.refused()
        elif not retry_after:
            return
        growing = min(_FIRST_SECONDS * 2.0 ** min(self._refusals - 1, 10), _LONGEST_SECONDS)
        self._open_at = max(self._open_at, self._clock.monotonic() + (retry_after or growing))
        self.refusal = refusal

    def accepted(self) -> None:
        """Note that a call was not refused: the next pause is a short one again."""
        self._refusals = 0

    def left(self) -> float:
        """Return for how many seconds no call may be made; 0 = one may be made now."""
        return max(0.0, self._open_at - self._clock.monotonic())

    def turn(self) -> float:
        """Return how many seconds a caller has to wait before it asks again; 0 = it calls now."""
        return self.pause() or self._pace.turn(self._clock.monotonic())

    def pause(self) -> float:
        """Return the rest of the pause: differently long, so that not all callers call at once."""
        left = self.left()
        return left + max(_SPREAD_SECONDS, left / 5) * self._clock.jitter() if left > 0 else 0.0
