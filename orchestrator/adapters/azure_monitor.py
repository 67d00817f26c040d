"""Send metrics and spans to Application Insights with OpenTelemetry. Imported only if configured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from azure.monitor.opentelemetry import configure_azure_monitor
from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.trace import StatusCode, Tracer

from orchestrator.core.telemetry import Instrument, Metric

#: The name of the spans' and metrics' scope, and of the logger whose lines are exported with their fields.
_SCOPE = "orchestrator"

#: Instrumentations that stay off. The app does not use these libraries, apart from Azure's SDKs, whose calls
#: are in our own spans already.
_LIBRARIES = ("azure_sdk", "django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3")

_Attributes = dict[str, str]


class OpenTelemetry:
    """Metrics and spans of OpenTelemetry (the port ``Telemetry``). Its own threads export them."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._record = {metric: _recorder(meter, metric.value) for metric in Metric}

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        """Add to a counter, set a gauge, or record a value in a histogram."""
        self._record[metric](value, attributes)

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """Time a piece of work. The span of failed work holds only the error's type; the log has its text."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise


@cache
def start(connection_string: str, role: str) -> OpenTelemetry:
    """Start the export to Application Insights, once in a process.

    :param connection_string: of the Application Insights resource.
    :param role: ``cloud_RoleName`` of all that is sent; several apps may share a resource.
    :raises ValueError: it is not a connection string.
    """
    configure_azure_monitor(
        connection_string=connection_string,
        resource=Resource.create({SERVICE_NAME: role}),
        logger_name=_SCOPE,
        instrumentation_options={library: {"enabled": False} for library in _LIBRARIES},
        enable_live_metrics=False,
        enable_performance_counters=False,
        # What cannot be sent is dropped: the disk of an instance is small and short-lived.
        disable_offline_storage=True,
    )
    return OpenTelemetry(trace.get_tracer(_SCOPE), metrics.get_meter(_SCOPE))


def _recorder(meter: Meter, instrument: Instrument) -> Callable[[float, _Attributes], None]:
    """Create an instrument and return the function that records a value in it."""
    name, unit, description = instrument.name, instrument.unit, instrument.description
    if instrument.kind == "counter":
        return meter.create_counter(name, unit, description).add
    if instrument.kind == "gauge":
        return meter.create_gauge(name, unit, description).set
    return meter.create_histogram(name, unit, description).record
