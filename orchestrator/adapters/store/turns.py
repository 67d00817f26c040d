"""Turns: one at a time, in the order in which they asked."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets threads go on one after the other, the one that has waited longest first.

    ``threading.Lock`` promises no order, and a thread that gives it back may be the next to have it.

    :param patience: how long a thread waits for its turn, in seconds.
    """

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._is_taken = False
        #: each is released when its thread's turn has come
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it for the time of the block. After the patience, go on without one."""
        has_turn = self._wait()
        try:
            yield
        finally:
            if has_turn:
                self._end()

    def _wait(self) -> bool:
        """Say whether the turn has come, once it has or the patience is over."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=self._patience):
            return True
        with self._lock:
            if mine not in self._waiting:  # it came just now
                return True
            self._waiting.remove(mine)
            return False

    def _end(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
