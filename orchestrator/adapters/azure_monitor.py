"""Telemetry over OpenTelemetry, to Application Insights. Imported only when there is somewhere to send it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from azure.monitor.opentelemetry import configure_azure_monitor
from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import StatusCode, Tracer

from orchestrator.core.telemetry import Instrument, Metric

#: Of spans, of metrics, and of the logger whose lines are exported with their fields.
SCOPE = "orchestrator"

#: Nothing of these is in the app; what Azure's SDKs do would be said twice, by them and by our own spans.
_LIBRARIES = ("azure_sdk", "django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3")

_Attributes = dict[str, str]


class OpenTelemetry:
    """Metrics and spans of OpenTelemetry. Exporting is done by its own threads, never by the caller."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._record = {metric: _recorder(meter, metric.value) for metric in Metric}

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Add to a counter, set a gauge, or enter a value into a histogram."""
        self._record[metric](value, attributes)

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """Time a piece of work. Of an error that ends it only the type is told: its text is the log's."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise


@cache
def start(connection_string: str) -> OpenTelemetry:
    """Begin to export to Application Insights; once for a process.

    :param connection_string: of the resource.
    :raises ValueError: it is no connection string.
    """
    configure_azure_monitor(
        connection_string=connection_string,
        logger_name=SCOPE,
        instrumentation_options={library: {"enabled": False} for library in _LIBRARIES},
        enable_live_metrics=False,
        enable_performance_counters=False,
        # What cannot be sent is dropped: the disk of an instance is small and soon gone.
        disable_offline_storage=True,
    )
    return OpenTelemetry(trace.get_tracer(SCOPE), metrics.get_meter(SCOPE))


def _recorder(meter: Meter, instrument: Instrument) -> Callable[[float, _Attributes], None]:
    """Make an instrument and return how a value gets into it."""
    name, unit, description = instrument.name, instrument.unit, instrument.description
    if instrument.kind == "counter":
        return meter.create_counter(name, unit, description).add
    if instrument.kind == "gauge":
        return meter.create_gauge(name, unit, description).set
    return meter.create_histogram(name, unit, description).record
