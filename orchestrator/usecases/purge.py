"""The purge: delete entries that ended long ago, with their log rows, in small batches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from orchestrator.ports import Purgeable

#: Entries deleted per transaction. SQL Server locks the whole table once a statement holds 5,000 locks. An
#: entry takes one lock in the table and one in each index that contains it, and so does each of its few log
#: rows.
_BATCH = 500

#: Pause between two batches so that others can write: a waiting SQLite connection retries every 100 ms.
_PAUSE_SECONDS = 0.1

#: A purge ends after this many batches even if more entries become old meanwhile; the next one continues.
_MAX_BATCHES = 20_000


async def purge(
    store: Purgeable,
    *,
    older_than_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[int]:
    """Delete all final entries that are older than the given age; yield the total after each batch.

    Each batch is a transaction of its own: entries that were counted stay deleted. Run an interrupted purge
    again.

    :raises StoreError: the database refused or failed a batch.
    """
    total = 0
    for _ in range(_MAX_BATCHES):
        deleted = await store.purge(older_than_seconds=older_than_seconds, limit=_BATCH)
        total += deleted
        yield total
        if deleted < _BATCH:
            return
        await sleep(_PAUSE_SECONDS)
