"""Hold the calls of an endpoint back together after the workspace has said that they are too many."""

from orchestrator.ports import Clock


class RateGate:
    """When the next call of one endpoint may be made.

    Databricks limits how often each endpoint is called, so a refusal of one call concerns all callers of that
    endpoint, and no other: monitoring goes on while submissions wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_at = float("-inf")
        #: calls in a row that were refused for their rate
        self.refusals = 0

    def close(self, seconds: float) -> None:
        """Let no call through for so long: one was refused."""
        self.refusals += 1
        self._open_at = max(self._open_at, self._clock.monotonic() + seconds)

    def accepted(self) -> None:
        """Note that a call was not refused for its rate."""
        self.refusals = 0

    def seconds(self) -> float:
        """Return how long a call has to wait, 0 if it may be made now.

        By chance up to a fifth longer, so that those who wait do not all call at the same moment.
        """
        left = self._open_at - self._clock.monotonic()
        return left * (1 + self._clock.jitter() / 5) if left > 0 else 0.0
