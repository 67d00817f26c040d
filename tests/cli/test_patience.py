"""A paused serverless database: commands wait for it, say so, and end when Ctrl-C is pressed."""

import threading
from pathlib import Path

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.cli.context import PATIENCE_SECONDS, _Waiting
from orchestrator.core.errors import StoreUnavailable
from tests.cli.paused import PAUSED, PausedConnector
from tests.cli.support import TOKEN, CommandLine
from tests.cli.terminal import terminal
from tests.empty_store import make_empty_store

#: More tries than any patience has.
FOR_EVER = 10_000

#: The settings that are not the store's; nothing of theirs is reached.
WHOLE = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DATABRICKS_HOST": "http://127.0.0.1:9",
    "DATABRICKS_TOKEN": TOKEN,
}


class Clock(threading.Event):
    """Time that passes when somebody waits for the event."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return self.is_set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def paused(folder: Path, refusals: int) -> PausedConnector:
    return PausedConnector(make_empty_store(folder / "state.db"), refusals)


async def ask(connector: PausedConnector, clock: Clock) -> list[tuple[float, str]]:
    """Ask the store for something, and return what was told meanwhile, and when."""
    told: list[tuple[float, str]] = []
    pool = Pool(
        connector,
        patience=PATIENCE_SECONDS,
        sleep=_Waiting(lambda text: told.append((clock.now, text)), clock),
        monotonic=lambda: clock.now,
    )
    try:
        await Store(pool).now()
    finally:
        await pool.close()
    return told


async def test_a_database_that_resumes_in_a_minute_is_waited_for_and_told_once(
    tmp_path: Path, clock: Clock
) -> None:
    connector = paused(tmp_path, refusals=10)
    [(at, text)] = await ask(connector, clock)
    assert 1 < at < 3
    assert "waiting for the database" in text
    assert clock.now > 50


async def test_a_moment_is_not_worth_a_word(tmp_path: Path, clock: Clock) -> None:
    assert await ask(paused(tmp_path, refusals=3), clock) == []


async def test_a_database_that_does_not_resume_is_told_in_the_end(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StoreUnavailable, match="40613"):
        await ask(paused(tmp_path, refusals=FOR_EVER), clock)
    assert PATIENCE_SECONDS - 10 < clock.now <= PATIENCE_SECONDS


async def test_nobody_waits_after_the_end(tmp_path: Path, clock: Clock) -> None:
    clock.set()
    with pytest.raises(StoreUnavailable, match="the command has ended"):
        await ask(paused(tmp_path, refusals=FOR_EVER), clock)
    assert clock.now < 1


@pytest.mark.parametrize("arguments", [("list",), ("status",), ("init-db",), ("pass", "monitor")])
def test_ctrl_c_ends_the_wait(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    """Long before the patience does: the terminal waits a third of it."""
    cli.environment |= WHOLE
    with terminal(cli, *arguments, module="tests.cli.paused", REFUSALS=str(FOR_EVER)) as screen:
        screen.read_until("waiting for the database")
        screen.interrupt()
        assert screen.exit_code() == 130
    assert screen.text.splitlines()[-1] == "stopped"
    assert "Traceback" not in screen.text


def test_a_command_goes_on_when_the_database_has_resumed(cli: CommandLine) -> None:
    with terminal(cli, "add", "sales", module="tests.cli.paused", REFUSALS="2") as screen:
        assert screen.exit_code() == 0
    assert screen.text.splitlines() == ["1"]


def test_watch_shows_at_once_that_the_database_is_away(cli: CommandLine) -> None:
    """It has no patience: the next look is its next try."""
    with terminal(cli, "status", "--watch", module="tests.cli.paused", REFUSALS=str(FOR_EVER)) as screen:
        screen.read_until(PAUSED)
        assert "waiting" not in screen.text
        screen.interrupt()
        assert screen.exit_code() == 0
