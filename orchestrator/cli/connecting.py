"""What the commands reach: the store alone, or the whole application, closed whatever happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator import bootstrap, settings
from orchestrator.store.store import Store


def environment() -> dict[str, str]:
    """Return the environment, over the ``local.settings.json`` of the current folder."""
    return settings.environment(Path.cwd())


@asynccontextmanager
async def store(patience: float = 0) -> AsyncIterator[Store]:
    """By default without patience: a person waits, and may try again."""
    made = Store(bootstrap.connector(settings.load_store(environment())), patience=patience)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def application(
    loaded: settings.Settings | None = None, *, patience: float = 0
) -> AsyncIterator[bootstrap.Application]:
    """Everything, for what needs the queue or Databricks.

    :param loaded: settings that have been read already.
    """
    app = bootstrap.Application(loaded or settings.load(environment()), patience=patience)
    try:
        yield app
    finally:
        await app.close()
