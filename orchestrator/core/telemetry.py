"""What the app tells of its own work: metrics, spans, and the fields of its log lines.

The use cases know only what stands here. Where it goes is ``orchestrator.adapters.azure_monitor``'s
business; without it, metrics and spans go nowhere, and the lines are read as text.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Literal

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
    PASS = Instrument(
        name="orchestrator.pass.duration",
        kind="histogram",
        unit="s",
        description="A pass of a timer function",
    )


class NoTelemetry:
    """They go nowhere."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Do nothing."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:  # noqa: ARG002
        """Do nothing around the work."""
        return nullcontext()


NO_TELEMETRY = NoTelemetry()


def fields(event: str, entry: Entry | None = None, **more: object) -> dict[str, object]:
    """Return the ``extra`` of the log line that tells of an event; what is None is left out.

    :param event: ``claimed``, ``submitted``, ``refused``, ``postponed``, ``finished``, ``canceled`` or
        ``pass``.
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
