"""Telemetry that never fails the work that it measures."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from orchestrator.core.telemetry import Metric
from orchestrator.ports import Telemetry

logger = logging.getLogger(__name__)


class SafeTelemetry:
    """Another telemetry, kept from failing the work that it tells of. Its first error is logged."""

    def __init__(self, inner: Telemetry) -> None:
        self._inner = inner
        self._has_failed = False

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Record, if that is possible."""
        try:
            self._inner.record(metric, value, **attributes)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work goes on
            self._tell(error)

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """Time a piece of work, if that is possible; what the work raises goes through."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._inner.span(name, **attributes))
            except Exception as error:  # noqa: BLE001 - the same
                self._tell(error)
            yield

    def _tell(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.error("telemetry fails: %s", type(error).__name__)
