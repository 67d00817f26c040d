"""The purge: deletes rows that ended long ago, with their logs, in batches that hinder nobody."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from orchestrator.ports import Purgeable

#: Rows a transaction. SQL Server locks the whole table once a statement holds 5,000 locks; a row takes one in
#: the table and one in each index that it is in, and so does each of its few log rows.
BATCH = 500

#: Between two batches, for others to take their turn: a waiting SQLite connection looks every 100 ms.
PAUSE_SECONDS = 0.1

#: A purge ends here even if more rows grow old meanwhile; the next one goes on.
MAX_BATCHES = 20_000

#: Databricks itself forgets runs after 60 days, so nobody needs 25 years; the database counts in 32 bits.
MAX_AGE_SECONDS = 25 * 365 * 86_400

_UNITS = {"d": 86_400, "h": 3_600, "m": 60}
_AGE = re.compile(r"([0-9]+)([dhm])")


def age_seconds(text: str) -> float:
    """Read an age like ``90d``, ``12h`` or ``30m``.

    :raises ValueError: it is none, it is zero, or it is too long.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an age: give whole days, hours or minutes, like 90d, 12h or 30m")
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds == 0:
        raise ValueError(f"{text!r} would delete rows that end at this moment: give 1m or more")
    if seconds > MAX_AGE_SECONDS:
        raise ValueError(f"{text!r} is too long: give {MAX_AGE_SECONDS // 86_400}d or less")
    return float(seconds)


async def purge(
    store: Purgeable,
    *,
    older_than_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[int]:
    """Delete all final rows that ended so long ago; yield after each batch how many are gone by then.

    Each batch is a transaction of its own: what is yielded stays deleted, and a purge that was interrupted is
    simply run again.

    :raises StoreError: the database did not do it.
    """
    total = 0
    for _ in range(MAX_BATCHES):
        deleted = await store.purge(older_than_seconds=older_than_seconds, limit=BATCH)
        total += deleted
        yield total
        if deleted < BATCH:
            return
        await sleep(PAUSE_SECONDS)
