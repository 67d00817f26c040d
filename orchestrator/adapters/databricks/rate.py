"""Hold the calls of an endpoint back together after the workspace has said that they are too many."""

from orchestrator.core.errors import DatabricksError
from orchestrator.ports import Clock

#: Pauses of an endpoint that does not say how long to wait, in seconds: the first, which doubles from refusal
#: to refusal, and the longest.
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60.0

#: Callers that wait call again within this time after the pause, in seconds, or within a fifth of the pause
#: if that is longer. ``run-now`` takes some 20 calls a second, and one instance submits ten at once.
_SPREAD_SECONDS = 0.5


class RateGate:
    """When the next call of one endpoint may be made.

    Databricks limits how often each endpoint is called, so a refusal of one call concerns all callers of that
    endpoint, and no other: monitoring goes on while submissions wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_at = float("-inf")
        self._refusals = 0
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

    def wait(self) -> float:
        """Return how many seconds a caller has to wait: differently long, so that not all call at once."""
        left = self.left()
        return left + max(_SPREAD_SECONDS, left / 5) * self._clock.jitter() if left > 0 else 0.0
