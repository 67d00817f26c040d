"""Entries that run, made at once: copies of one that the app has brought to its run."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from benchmarks.simulated.app import JOBS, App

#: Ids that no INSERT of the app reaches.
_FIRST_ID = 1_000_000_000


async def fill(app: App, each: int) -> None:
    """Let a number of entries of each workspace run, whose runs have just begun.

    :param each: at least one.
    """
    first, *_ = app.workspaces
    await app.add(first, "pattern")
    await app.make_pass("trigger")
    await app.deliver(until=app.clock.monotonic() + 3)
    with closing(sqlite3.connect(app.file)) as database, database:
        database.row_factory = sqlite3.Row
        [entry] = map(dict, database.execute("SELECT * FROM track_processing"))
        [opened] = map(dict, database.execute("SELECT * FROM orchestrator_open_submission"))
        copies = list(_copies(app, first, each, entry, opened))
        for table, place in (("track_processing", 0), ("orchestrator_open_submission", 1)):
            columns = list(copies[0][place])
            marks = ", ".join("?" for _ in columns)
            database.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - names of ours
                [list(copy[place].values()) for copy in copies],
            )


def _copies(
    app: App, first: str, each: int, entry: dict[str, Any], opened: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    number = _FIRST_ID
    for name, workspace in app.workspaces.items():
        for position in range(each - (name == first)):
            number += 1
            guid, table = str(uuid.uuid4()), f"table {position}"
            job_id = JOBS[position % len(JOBS)]
            run_id = workspace.start(f"copy {number}", job_id)
            changes = {"entry_guid": guid, "workspace": name, "table_name": table}
            yield (
                {
                    **entry,
                    **changes,
                    "id": number,
                    "job_id": job_id,
                    "request": entry["request"].replace(f'"job_id": {JOBS[0]}', f'"job_id": {job_id}'),
                    "runid": run_id,
                    "last_runid": run_id,
                },
                {**opened, **changes, "entry_id": number, "runid": run_id},
            )
