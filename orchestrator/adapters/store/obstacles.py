"""What keeps entries from being claimed although slots are free: runs that hold their tables."""

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.adapters.store.connector import as_utc
from orchestrator.adapters.store.records import read_entry, read_time
from orchestrator.adapters.store.session import Session
from orchestrator.core.durations import HELD_SECONDS
from orchestrator.core.health import Trouble, Troubled, holder_in_words
from orchestrator.core.models import ActiveRun, AliveRun, Entry
from orchestrator.core.redaction import one_line
from orchestrator.core.slots import NO_OBSTACLES, Obstacles
from orchestrator.core.unknown_runs import LOOKED_BACK, ended_since, possible_runs

#: Entries of a source table among which its last end is looked for, last changed first.
_RECENT = 300


def obstacles_of(session: Session, workspace: str, foreign: Collection[ActiveRun], address: str) -> Obstacles:
    """Return what the active runs of no entry in flight keep from being claimed, without jobs' rooms.

    :param address: where the workspace is that has these runs.
    """
    if not foreign:
        return NO_OBSTACLES
    runs = json.dumps(sorted(run.run_id for run in foreign))
    rows = session.rows("alive", workspace, runs, address, runs, workspace, address, workspace, address, runs)
    alive = tuple(
        AliveRun(entry_id=row["id"], run_id=row["runid"], table_name=row["busy_table"]) for row in rows
    )
    known = {each.run_id for each in alive}
    unknown = [run for run in foreign if run.run_id not in known]
    if not unknown:
        return Obstacles(alive=alive)
    since = ended_since(unknown, session.now())
    entries = map(_as_called, session.rows("in_doubt", workspace, since))
    in_doubt = [entry for entry in entries if entry.is_at(address)]
    return Obstacles(alive=alive, possible=tuple(possible_runs(in_doubt, unknown)))


def _as_called(row: dict[str, Any]) -> Entry:
    """Return an entry in doubt with the table that was called for, which somebody may have changed since."""
    table = row.pop("begun_table")
    return replace(read_entry(row), table_name=table)


def left_open(session: Session) -> set[str]:
    """Return the workspaces with entries that ended lately and whose submission was left open."""
    return {row["workspace"] for row in session.rows("left_open", session.now() - LOOKED_BACK)}


def held_by_running(session: Session) -> list[tuple[Troubled, Entry]]:
    """Return the tables whose entries wait for long behind a RUNNING entry, which comes with each."""
    before = session.now() - timedelta(seconds=HELD_SECONDS)
    found = []
    for row in session.rows("held_by_running", before, before):
        waiting = {name: row.pop(name) for name in ("entries", "first_id", "since")}
        holder = read_entry(row)
        since = max(read_time(waiting["since"]), holder.submitted_at or holder.updated_at)
        text = holder_in_words(holder.runid, holder.id, "RUNNING")
        found += [(each, holder) for each in _held(session, waiting, since, text)]
    return found


def held_by_alive(session: Session, workspace: str, obstacles: Obstacles) -> list[Troubled]:
    """Return the tables whose entries wait for long behind an active run of no entry in flight."""
    holders = {
        each.entry.table_name: holder_in_words(each.run.run_id, each.entry.id, "which may be its run")
        for each in obstacles.possible
    }
    for each in obstacles.alive:
        if each.table_name is not None:
            text = "active although the entry does not follow it"
            holders[each.table_name] = holder_in_words(each.run_id, each.entry_id, text)
    if not holders:
        return []
    before = session.now() - timedelta(seconds=HELD_SECONDS)
    rows = session.rows("held_waiting", json.dumps(sorted(holders)), workspace, before)
    found = []
    # Of a table whose holders spell its name in several ways, one says it.
    for row in {row["first_id"]: row for row in rows}.values():
        since = max(read_time(row["since"]), _last_end(session, workspace, row["table_name"]))
        if since <= before:
            found += _held(session, row, since, holders[row["table_name"]])
    return found


def _last_end(session: Session, workspace: str, table_name: str) -> datetime:
    """Return when an entry of a table ended last: until then the table went on."""
    [row] = session.rows("last_end", table_name, _RECENT, workspace)
    return as_utc(row["finished_at"]) or datetime.min.replace(tzinfo=UTC)


def _held(session: Session, row: dict[str, Any], since: datetime, holder: str) -> list[Troubled]:
    return [
        Troubled(
            trouble=Trouble.TABLE_HELD,
            entries=int(row["entries"]),
            example=example,
            known_since=since,
            detail=f"table {one_line(example.table_name)} is held by {holder}",
        )
        for example in map(read_entry, session.rows("find_entry", row["first_id"]))
    ]
