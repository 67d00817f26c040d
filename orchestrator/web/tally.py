"""Log lines for what strangers may cause without end: the first at once, the others counted and summed up."""

import asyncio
import logging
from collections.abc import Callable

#: Until the first sum is logged; each further one takes twice as long, up to the longest.
_FIRST_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0


def _call_later(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)


class Tally:
    """Counts events of one kind and writes a warning now and then, however many there are.

    The first is logged at once. What follows is summed up after a minute, then after two, and so on up to an
    hour; after an interval without any, the next one is the first again.

    :param call_later: calls a function in so many seconds.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        call_later: Callable[[float, Callable[[], None]], object] = _call_later,
    ) -> None:
        self._logger = logger
        self._call_later = call_later
        self._seconds = 0.0  # of the interval; 0 = none has begun
        self._count = 0
        self._text = ""

    def add(self, text: str) -> None:
        """Count an event. The text of the last one stands in the sum."""
        self._text = text
        if self._seconds:
            self._count += 1
            return
        self._logger.warning("%s", text)
        self._begin(_FIRST_SECONDS)

    def _begin(self, seconds: float) -> None:
        self._seconds = seconds
        self._call_later(seconds, self._sum_up)

    def _sum_up(self) -> None:
        count, self._count = self._count, 0
        if not count:
            self._seconds = 0.0
            return
        self._logger.warning("%s (%s more in %.0f s)", self._text, count, self._seconds)
        self._begin(min(2 * self._seconds, _LONGEST_SECONDS))
