"""The parts that several tests share."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack import azurite as emulator
from tests.devstack.running import MadeRun, made_run

ROOT = Path(__file__).parents[1]

#: The property (``record_property``) of a test that tells how much it has tried.
FIGURE = "figure"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests have counted; docs/reliability.md quotes it."""
    figures = [
        f"{value}"
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == FIGURE
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in sorted(figures):
            terminalreporter.line(figure)


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """A running Storage emulator."""

    #: of the queue service, with the account
    queue_url: str
    connection_string: str = field(repr=False)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One Storage emulator for a whole test process; each test has a queue of its own (``queue_name``)."""
    with emulator.emulator(tmp_path_factory.mktemp("azurite") / "azurite.log") as process:
        yield Azurite(queue_url=process.url, connection_string=emulator.connection_string(*process.urls))


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeRun]:
    """``make run``, once for a whole test process, when the demo's rows have come to their end."""
    with made_run(tmp_path_factory.mktemp("make-run")) as made:
        yield made


@pytest.fixture
def queue_name() -> str:
    """The name of a queue that no other test uses, and that is not there yet."""
    return f"test-{uuid.uuid4().hex}"
