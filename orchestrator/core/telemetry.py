"""Telemetry: the names and units of all metrics, and the structured fields of log lines.

The use cases know only this module. ``orchestrator.adapters.azure_monitor`` exports metrics, spans and log
lines; without it metrics and spans are dropped and log lines are plain text.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from orchestrator.core.models import Entry
from orchestrator.core.redaction import one_line


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """The kind, unit and description of a metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    #: in UCUM, as OpenTelemetry requires: https://opentelemetry.io/docs/specs/semconv/general/metrics/
    unit: str
    description: str


class Metric(Enum):
    """Every metric that the app records."""

    SUBMISSION = Instrument(
        name="orchestrator.submission.duration",
        kind="histogram",
        unit="s",
        description="Duration of a call of run-now",
    )
    QUEUE = Instrument(
        name="orchestrator.queue.duration",
        kind="histogram",
        unit="s",
        description="Time from when an entry may be claimed to its call of run-now",
    )
    RUN = Instrument(
        name="orchestrator.run.duration",
        kind="histogram",
        unit="s",
        description="Execution time of a run that is over, as reported by Databricks",
    )
    ACTIVE_RUNS = Instrument(
        name="orchestrator.runs.active",
        kind="gauge",
        unit="{run}",
        description="Active runs of a workspace, foreign runs included",
    )
    CLAIMED = Instrument(
        name="orchestrator.entries.claimed", kind="counter", unit="{entry}", description="Entries claimed"
    )
    FINISHED = Instrument(
        name="orchestrator.entries.finished",
        kind="counter",
        unit="{entry}",
        description="Entries whose run is over, by their new state",
    )
    PASS = Instrument(
        name="orchestrator.pass.duration",
        kind="histogram",
        unit="s",
        description="Duration of a pass of a timer function",
    )


class _NoTelemetry:
    """Drops all metrics and spans."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Do nothing."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a context that does nothing."""
        return nullcontext()


NO_TELEMETRY = _NoTelemetry()


def fields(event: str, entry: Entry | None = None, **more: object) -> dict[str, object]:
    """Return the ``extra`` of an event's log line, without the fields that are None.

    :param event: ``claimed``, ``submitted``, ``refused``, ``postponed``, ``finished``, ``canceled``,
        ``revived`` or ``pass``.
    :param more: further fields, or replacements of the entry's own. Durations are in seconds.
    """
    of_entry = {} if entry is None else _entry_fields(entry)
    given = {"event": event, **of_entry, **more}
    return {name: value for name, value in given.items() if value is not None}


def _entry_fields(entry: Entry) -> dict[str, object]:
    return {
        "entry_id": entry.id,
        "table_name": one_line(entry.table_name),
        "workspace": one_line(entry.workspace),
        "run_id": entry.runid,
        "submission": entry.submission,
        "attempt": entry.attempt,
    }
