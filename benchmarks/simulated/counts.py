"""Counts what each function asks of the services."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

#: The function whose work goes on.
_FUNCTION: ContextVar[str] = ContextVar("function", default="")


@dataclass
class Counts:
    """How often each function did what, and how much of it in a second at most."""

    of: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: the most in one second
    peaks: Counter[str] = field(default_factory=Counter)
    _second: dict[str, tuple[int, int]] = field(default_factory=dict)
    _now: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, number: int = 1) -> None:
        """Count something that the current function does."""
        self.of[_FUNCTION.get(), what] += number

    def add_now(self, what: str, number: int = 1) -> None:
        """Count something, and keep the most of it in one second."""
        self.add(what, number)
        second = int(asyncio.get_running_loop().time())
        before = self._second.get(what, (second, 0))
        so_far = number + (before[1] if before[0] == second else 0)
        self._second[what] = (second, so_far)
        self.peaks[what] = max(self.peaks[what], so_far)

    @contextmanager
    def at_once(self, what: str) -> Iterator[None]:
        """Keep the most that go on at the same time."""
        self._now[what] += 1
        self.peaks[what] = max(self.peaks[what], self._now[what])
        try:
            yield
        finally:
            self._now[what] -= 1

    def total(self, what: str, function: str | None = None) -> int:
        """Return how often something was done, by one function or by all."""
        return sum(
            number for (by, done), number in self.of.items() if done == what and function in {None, by}
        )

    def since(self, before: Counter[tuple[str, str]]) -> "Counts":
        """Return what was counted since ``before``, a copy of ``of``."""
        return Counts(of=self.of - before)


@contextmanager
def function(name: str) -> Iterator[None]:
    """Let what is counted be that of a function."""
    token = _FUNCTION.set(name)
    try:
        yield
    finally:
        _FUNCTION.reset(token)


@dataclass(frozen=True)
class CountingTelemetry:
    """Counts spans and measurements (the port ``Telemetry``)."""

    counts: Counts

    def record(self, *_: object, **__: object) -> None:
        """Count a measurement."""
        self.counts.add("measurements")

    @contextmanager
    def span(self, *_: object, **__: object) -> Iterator[None]:
        """Count a span."""
        self.counts.add("spans")
        yield


class CountingHandler(logging.Handler):
    """Counts the app's log lines."""

    def __init__(self, counts: Counts) -> None:
        super().__init__(logging.INFO)
        self._counts = counts

    def emit(self, _: logging.LogRecord) -> None:
        """Count a line."""
        self._counts.add("log lines")


@contextmanager
def counted_log(counts: Counts) -> Iterator[None]:
    """Count the app's log lines, and print none."""
    logger, handler = logging.getLogger("orchestrator"), CountingHandler(counts)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
