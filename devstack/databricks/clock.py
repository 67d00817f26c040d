"""The workspace's clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WorkspaceClock:
    """Epoch seconds that never go back, and that stand still while a command is carried out.

    :param source: the machine's clock.
    """

    def __init__(self, source: Callable[[], float]) -> None:
        self._source = source
        self._now = 0.0
        self._held = False

    def __call__(self) -> float:
        if not self._held:
            self._now = max(self._now, self._source())
        return self._now

    @contextmanager
    def held(self, at: float | None = None) -> Iterator[float]:
        """Let the time stand still for the block and give it.

        :param at: a time of the past to repeat, None = now.
        """
        self._now = max(self._now, self._source() if at is None else at)
        self._held = True
        try:
            yield self._now
        finally:
            self._held = False


def milliseconds(seconds: float) -> int:
    """Epoch seconds, or a duration in seconds, as the API writes it."""
    return round(seconds * 1000)
