"""Keep failing telemetry from failing the work that it measures."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from orchestrator.core.telemetry import Metric
from orchestrator.ports import Telemetry

_logger = logging.getLogger(__name__)


class SafeTelemetry:
    """Wraps another telemetry and catches its errors. The first one is logged."""

    def __init__(self, inner: Telemetry) -> None:
        self._inner = inner
        self._has_failed = False

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Record a value. Raises nothing."""
        try:
            self._inner.record(metric, value, **attributes)
        except Exception as error:  # noqa: BLE001 - whatever the error, the work goes on
            self._log_first(error)

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """Time a piece of work. Only the errors of the work itself are raised."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._inner.span(name, **attributes))
            except Exception as error:  # noqa: BLE001 - the same
                self._log_first(error)
            yield

    def _log_first(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            _logger.error("telemetry fails: %s", type(error).__name__)
