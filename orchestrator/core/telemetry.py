"""What the app tells of its own work: metrics, spans, and the fields of its log lines.

The use cases know only what stands here. Where it goes is ``orchestrator.adapters.azure_monitor``'s
business; without it, metrics and spans go nowhere, and the lines are read as text.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from orchestrator.core.models import Entry
from orchestrator.core.redaction import one_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """How a metric is kept."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    #: of UCUM, as OpenTelemetry asks: https://opentelemetry.io/docs/specs/semconv/general/metrics/
    unit: str
    description: str


class Metric(Enum):
    """Everything that is measured."""

    SUBMISSION = Instrument(
        name="orchestrator.submission.duration",
        kind="histogram",
        unit="s",
        description="A call of run-now, from its begin to its answer",
    )
    QUEUE = Instrument(
        name="orchestrator.queue.duration",
        kind="histogram",
        unit="s",
        description="From the time that a row may be claimed to the call of run-now",
    )
    RUN = Instrument(
        name="orchestrator.run.duration",
        kind="histogram",
        unit="s",
        description="The execution of a run that is over, as Databricks tells it",
    )
    ACTIVE_RUNS = Instrument(
        name="orchestrator.runs.active",
        kind="gauge",
        unit="{run}",
        description="Active runs of a workspace, other people's included",
    )
    CLAIMED = Instrument(
        name="orchestrator.rows.claimed", kind="counter", unit="{row}", description="Rows claimed"
    )
    FINISHED = Instrument(
        name="orchestrator.rows.finished",
        kind="counter",
        unit="{row}",
        description="Rows whose run is over, by the state that they went to",
    )
    TICK = Instrument(
        name="orchestrator.tick.duration",
        kind="histogram",
        unit="s",
        description="A pass of a timer function",
    )


class Telemetry(Protocol):
    """Where metrics and spans go. Nothing here ever fails or waits."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Add to a counter, set a gauge, or enter a value into a histogram."""
        ...

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:
        """Time a piece of work, with what is done inside as its children."""
        ...


class NoTelemetry:
    """They go nowhere."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Do nothing."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:  # noqa: ARG002
        """Do nothing around the work."""
        return nullcontext()


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


NO_TELEMETRY = NoTelemetry()


def fields(event: str, entry: Entry | None = None, **more: object) -> dict[str, object]:
    """Return the ``extra`` of the log line that tells of an event; what is None is left out.

    :param event: ``claimed``, ``submitted``, ``refused``, ``postponed``, ``finished``, ``canceled`` or
        ``tick``.
    :param more: further fields, or others than the entry's own. Durations are in seconds.
    """
    of_entry = {} if entry is None else _of(entry)
    given = {"event": event, **of_entry, **more}
    return {name: value for name, value in given.items() if value is not None}


def _of(entry: Entry) -> dict[str, object]:
    return {
        "entry_id": entry.id,
        "table_name": one_line(entry.table_name),
        "workspace": one_line(entry.workspace),
        "run_id": entry.runid,
        "submission": entry.submission,
        "attempt": entry.attempt,
    }
