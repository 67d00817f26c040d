"""The app as it is wired, with its telemetry kept in memory."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator import settings
from orchestrator.adapters.azure_monitor import OpenTelemetry
from orchestrator.bootstrap import Application
from tests.empty_store import make_empty_store
from tests.fakes import FakeQueue, FakeRuns


class Memory:
    """What the app exported."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader])
        self._tracers = TracerProvider()
        self._tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.telemetry = OpenTelemetry(self._tracers.get_tracer("test"), self._meters.get_meter("test"))

    def metrics(self) -> dict[str, list[Any]]:
        """Return the points of each metric by its name."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self._spans.get_finished_spans()}

    def close(self) -> None:
        self._meters.shutdown()
        self._tracers.shutdown()


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    made.close()


@pytest.fixture
async def app(memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    """The app as it is wired, with fakes of Databricks and the queue."""
    path = make_empty_store(tmp_path / "state.db")
    environment = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
        "DATABRICKS_TOKEN": "t",
        "DATABRICKS_JOB_ID": "5",
        "STATE_DB": str(path),
    }
    fakes = FakeRuns(foreign={1, 2})
    monkeypatch.setattr("orchestrator.adapters.databricks.client.DatabricksClient", lambda **_: fakes)
    monkeypatch.setattr("orchestrator.adapters.queue.StorageQueue", lambda *_, **__: _FakeStorageQueue())
    made = Application(settings.load(environment), telemetry=memory.telemetry)
    yield made
    await made.close()


class _FakeStorageQueue(FakeQueue):
    async def close(self) -> None:
        """Do nothing: nothing is open."""
