"""Telemetry that fails, fails nothing else."""

import pytest

from orchestrator.adapters.safe_telemetry import SafeTelemetry
from orchestrator.core.telemetry import Metric


class Broken:
    """Raises wherever it can."""

    def record(self, metric: Metric, value: float, **attributes: str) -> None:
        raise RuntimeError("out of order")

    def span(self, name: str, **attributes: str | int) -> "Broken":
        return self

    def __enter__(self) -> None:
        raise RuntimeError("out of order")

    def __exit__(self, *_: object) -> None:
        return


def test_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = SafeTelemetry(Broken())
    done = []
    with telemetry.span("submit"):
        telemetry.record(Metric.PASS, 1.0)
        done.append("work")
    assert done == ["work"]
    assert [record.getMessage() for record in caplog.records] == ["telemetry fails: RuntimeError"]


def test_error_of_the_work_goes_through() -> None:
    with pytest.raises(ValueError, match="of the work"), SafeTelemetry(Broken()).span("submit"):
        raise ValueError("of the work")
