"""What is going to happen, in order of time."""

import heapq
from collections.abc import Callable
from itertools import count

#: What happens; its argument is the time at which it happens, in epoch seconds.
Action = Callable[[float], None]


class Timeline:
    """Actions that wait for their time. Every action runs with the exact time it was due at."""

    def __init__(self) -> None:
        self._order = count()
        self._due: list[tuple[float, int, Action]] = []

    @property
    def next_at(self) -> float | None:
        """When the next action is due, in epoch seconds."""
        return self._due[0][0] if self._due else None

    def schedule(self, at: float, action: Action) -> None:
        """Let ``action`` happen at ``at``; actions of the same time keep their order."""
        heapq.heappush(self._due, (at, next(self._order), action))

    def run_until(self, now: float) -> None:
        """Carry out all that is due up to and including ``now``, also what that itself schedules."""
        while self._due and self._due[0][0] <= now:
            at, _, action = heapq.heappop(self._due)
            action(at)
