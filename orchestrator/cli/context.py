"""What the commands reach: the store alone, or the whole application, closed whatever happens."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator import bootstrap, settings
from orchestrator.adapters.store.connector import Connector
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.cli.output import complain
from orchestrator.core.errors import SettingsError, StoreUnavailable
from orchestrator.settings import local_file

#: How long a command waits for a database that only asks to come back later. A paused serverless database
#: takes about a minute to resume
#: (https://learn.microsoft.com/azure/azure-sql/database/serverless-tier-overview#latency).
PATIENCE_SECONDS = 90.0

#: A shorter wait needs no words; a person who sees nothing for longer wonders.
TOLD_AFTER_SECONDS = 2.0


class Waiting:
    """Sleeps between the tries of a store, and tells the person in front of it why nothing happens.

    :param ended: when it is set, nobody waits any longer.
    """

    def __init__(self, tell: Callable[[str], None] = complain, ended: threading.Event | None = None) -> None:
        self._tell = tell
        self._ended = ended or threading.Event()
        self._slept = 0.0

    def __call__(self, seconds: float) -> None:
        """Sleep. :raises StoreUnavailable: nobody waits any longer."""
        before, self._slept = self._slept, self._slept + seconds
        if before <= TOLD_AFTER_SECONDS < self._slept:
            self._tell(
                "waiting for the database, which does not take connections now; "
                "a paused one takes about a minute to resume (Ctrl-C stops)"
            )
        if self._ended.wait(seconds):
            raise StoreUnavailable("nobody waits for the database any longer")

    def end(self) -> None:
        """Wake what sleeps: a thread that no signal reaches would go on to the end of its patience."""
        self._ended.set()


def environment() -> dict[str, str]:
    """Return the environment, over the ``local.settings.json`` of the current folder."""
    return local_file.environment(Path.cwd())


@asynccontextmanager
async def tools(
    *, offline: bool = True, patience: float = PATIENCE_SECONDS
) -> AsyncIterator[bootstrap.OperatorTools]:
    """Reach the store, and Databricks if the settings are complete.

    :param offline: do not ask Databricks.
    :param patience: how long the store waits for a database that asks to retry later, in seconds.
    """
    waiting = Waiting()
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
async def application(
    loaded: settings.Settings | None = None, *, patience: float = 0
) -> AsyncIterator[bootstrap.Application]:
    """Everything, for what needs the queue or Databricks.

    :param loaded: settings that have been read already.
    :param patience: of its stores.
    """
    waiting = Waiting()
    app = bootstrap.Application(loaded or settings.load(environment()), patience=patience, sleep=waiting)
    try:
        yield app
    finally:
        waiting.end()
        await app.close()


async def wake(connector: Connector) -> None:
    """Wait until a database takes connections, before work that does without a store.

    :raises StoreError: it does not.
    """
    waiting = Waiting()
    pool = Pool(connector, threads=1, patience=PATIENCE_SECONDS, sleep=waiting)
    try:
        await Store(pool).now()
    finally:
        waiting.end()
        await pool.close()
