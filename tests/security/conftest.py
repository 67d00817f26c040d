"""A rule for every test in this folder: no secret comes out, however things go wrong."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator import bootstrap
from tests.conftest import Azurite
from tests.databricks.support import ManualClock, Workspace
from tests.security.app import Apps
from tests.security.canary import LOGGERS, Evidence


@pytest.fixture(autouse=True)
def evidence(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Evidence]:
    """The texts that came out. They are searched at the test's end, with all that was logged and printed."""
    for name in (None, *LOGGERS):
        caplog.set_level(logging.DEBUG, logger=name)
    collected = Evidence()
    yield collected
    collected.records(caplog.get_records("call"))
    printed = capfd.readouterr()
    collected.add("stdout", printed.out)
    collected.add("stderr", printed.err)
    collected.assert_clean()


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    """A Databricks workspace with scripted responses."""
    async with Workspace().serve() as serving:
        yield serving


@pytest.fixture
def apps(
    tmp_path: Path, azurite: Azurite, queue_name: str, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> Apps:
    """Makes apps whose waits take no time."""
    monkeypatch.setattr(bootstrap, "SystemClock", ManualClock)
    return Apps(tmp_path, azurite, queue_name, evidence)
