"""Metrics and spans through the real OpenTelemetry SDK, kept in memory."""

from typing import Any

import pytest

from orchestrator.adapters.queue import _encode
from orchestrator.bootstrap import Application
from orchestrator.core.errors import StoreError, WorkspaceUnavailable
from orchestrator.core.models import NewEntry
from orchestrator.core.telemetry import Metric
from tests.telemetry.conftest import Memory


async def test_path_of_an_entry(app: Application, memory: Memory) -> None:
    runs: Any = app.runs["default"]
    queue: Any = app.queue
    await app.operator.add([NewEntry(table_name="sales")])
    assert await app.trigger() == []
    [claim] = queue.sent
    await app.submit(_encode(claim).encode())
    [run_id] = runs.runs
    runs.end(run_id, "SUCCESS")
    runs.runs[run_id] = runs.runs[run_id].__class__(
        run_id=run_id, life_cycle_state="TERMINATED", result_state="SUCCESS", execution_seconds=12.5
    )
    assert await app.monitor() == []

    metrics = memory.metrics()
    [active] = metrics["orchestrator.runs.active"]
    assert (active.value, dict(active.attributes)) == (2, {"workspace": "default"})
    [claimed] = metrics["orchestrator.entries.claimed"]
    assert claimed.value == 1
    [submission] = metrics["orchestrator.submission.duration"]
    [queued] = metrics["orchestrator.queue.duration"]
    assert (submission.count, queued.count) == (1, 1)
    [run] = metrics["orchestrator.run.duration"]
    assert (run.sum, dict(run.attributes)) == (12.5, {"workspace": "default", "status": "DONE"})
    passes = {
        (point.attributes["function"], point.attributes["outcome"])
        for point in metrics["orchestrator.pass.duration"]
    }
    assert passes == {("trigger", "ok"), ("monitor", "ok")}

    spans = memory.spans()
    assert {"trigger", "monitor", "submit", "run-now"} == spans.keys()
    assert spans["run-now"].parent.span_id == spans["submit"].context.span_id
    assert spans["submit"].attributes["entry_id"] == claim.entry_id


async def test_pass_that_fails(app: Application, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: int) -> int:
        raise StoreError("secret words")

    monkeypatch.setattr(app.store, "cancel_waiting", fail)
    with pytest.raises(StoreError):
        await app.monitor()
    [last_pass] = memory.metrics()["orchestrator.pass.duration"]
    assert dict(last_pass.attributes) == {"function": "monitor", "outcome": "failed"}
    span = memory.spans()["monitor"]
    assert (span.status.description, span.events) == ("StoreError", ())


async def test_pass_with_problems(app: Application, memory: Memory) -> None:
    runs: Any = app.runs["default"]
    runs.down = WorkspaceUnavailable("no answer")
    await app.operator.add([NewEntry(table_name="sales")])
    assert len(await app.trigger()) == 1
    [last_pass] = memory.metrics()["orchestrator.pass.duration"]
    assert last_pass.attributes["outcome"] == "problems"


def test_every_metric_has_its_instrument(memory: Memory) -> None:
    for metric in Metric:
        memory.telemetry.record(metric, 1, workspace="default")
    assert memory.metrics().keys() == {metric.value.name for metric in Metric}
