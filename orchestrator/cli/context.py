"""What commands work with: the store, the whole application, or the database's setup; closed at the end."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator import bootstrap, settings
from orchestrator.cli.output import complain
from orchestrator.core.errors import SettingsError, StoreUnavailable
from orchestrator.settings import local_file

#: How long a command waits for a database that asks to retry later, in seconds. A paused serverless database
#: takes about a minute to resume
#: (https://learn.microsoft.com/azure/azure-sql/database/serverless-tier-overview#latency).
PATIENCE_SECONDS = 90.0

#: After this many seconds of waiting, a line on stderr says why nothing happens.
_NOTICE_SECONDS = 2.0


class _Waiting:
    """Sleeps between a store's tries, and says on stderr why nothing happens.

    :param complain: prints the line.
    :param ended: once it is set, no wait goes on.
    """

    def __init__(
        self, complain: Callable[[str], None] = complain, ended: threading.Event | None = None
    ) -> None:
        self._complain = complain
        self._ended = ended or threading.Event()
        self._slept = 0.0

    def __call__(self, seconds: float) -> None:
        """Sleep. :raises StoreUnavailable: the command has ended."""
        before, self._slept = self._slept, self._slept + seconds
        if before <= _NOTICE_SECONDS < self._slept:
            self._complain(
                "waiting for the database, which does not accept connections now; "
                "a paused one takes about a minute to resume (Ctrl-C stops)"
            )
        if self._ended.wait(seconds):
            raise StoreUnavailable("the command has ended")

    def end(self) -> None:
        """End every wait: no signal reaches a thread, which would otherwise sleep on."""
        self._ended.set()


def environment() -> dict[str, str]:
    """Return the environment, which takes precedence over the files of this folder.

    :raises SettingsError: a file cannot be read.
    """
    _tell_of_stack()
    return local_file.environment(Path.cwd())


@functools.cache
def _tell_of_stack() -> None:
    """Say once on stderr that a command reaches the local stack that is up, or why it does not."""
    stack = local_file.running_stack(Path.cwd())
    if names := local_file.own_state(stack):
        complain(
            f"not using the local stack that is up ({local_file.STACK_FILE}), since this shell has another "
            f"{' and '.join(names)}"
        )
    elif local_file.chooses_stack(stack):
        complain(f"using the local stack that is up ({local_file.STACK_FILE})")


@asynccontextmanager
async def tools(
    *, offline: bool = True, patience: float = PATIENCE_SECONDS
) -> AsyncIterator[bootstrap.OperatorTools]:
    """Reach the store, and Databricks if the settings are complete.

    :param offline: do not ask Databricks.
    :param patience: how long the store waits for a database that asks to retry later, in seconds.
    """
    waiting = _Waiting()
    store = settings.load_store(environment())
    found = bootstrap.OperatorTools(
        store, _complete_settings(), offline=offline, patience=patience, sleep=waiting
    )
    try:
        yield found
    finally:
        waiting.end()
        await found.close()


def _complete_settings() -> settings.Settings | None:
    try:
        return settings.load(environment())
    except SettingsError:
        return None


@asynccontextmanager
async def application(*, patience: float = 0) -> AsyncIterator[bootstrap.Application]:
    """Reach everything, for commands that need the queue or Databricks.

    :param patience: how long its stores wait for a database that asks to retry later, in seconds.
    :raises SettingsError: the settings are incomplete.
    """
    waiting = _Waiting()
    app = bootstrap.Application(settings.load(environment()), patience=patience, sleep=waiting)
    try:
        yield app
    finally:
        waiting.end()
        await app.close()


def setup(*, create: bool) -> bootstrap.Setup:
    """Wait until the database accepts connections, and return what sets up its tables.

    :param create: create the SQLite file if it does not exist.
    :raises StoreError: the database does not accept connections.
    """
    waiting = _Waiting()
    store = settings.load_store(environment())
    found = bootstrap.Setup(store, create=create, patience=PATIENCE_SECONDS, sleep=waiting)
    asyncio.run(_wake(found, waiting))
    return found


async def _wake(found: bootstrap.Setup, waiting: _Waiting) -> None:
    try:
        await found.wake()
    finally:
        waiting.end()
        await found.close()
