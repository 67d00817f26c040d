"""Failing telemetry fails nothing else."""

import pytest

from orchestrator.adapters.safe_telemetry import SafeTelemetry
from orchestrator.core.telemetry import Metric


class Broken:
    """Telemetry whose every method raises."""

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


def test_an_error_of_the_work_is_raised() -> None:
    with pytest.raises(ValueError, match="of the work"), SafeTelemetry(Broken()).span("submit"):
        raise ValueError("of the work")
