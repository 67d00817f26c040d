"""Bring entries into a state by the methods of the product."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.connector import Connector
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.session import Session
from orchestrator.core.actions import CANCEL, RETRY
from orchestrator.core.decisions import log_of_refusal, log_of_run
from orchestrator.core.models import (
    ActiveRun,
    Claim,
    Entry,
    JobKey,
    JobLimit,
    LogRow,
    NewEntry,
    Run,
    RunFailure,
    Verdict,
)
from orchestrator.core.states import Status
from tests.store.conftest import Database

LEASE_SECONDS = 900.0


async def add(store: Store, *tables: str, **fields: Any) -> list[int]:
    """Insert one entry for each table name."""
    return await Operations(store.pool).add([NewEntry(table_name=table, **fields) for table in tables])


async def claim(
    store: Store,
    cap: int = 100,
    *,
    active: Collection[ActiveRun | int] = (),
    jobs: Mapping[JobKey, JobLimit] = MappingProxyType({}),
    workspace: str = "default",
    max_attempts: int = 3,
    serialize: bool = True,
    address: str = "",
) -> list[Claim]:
    """Claim with the default settings."""
    return await store.claim(
        workspace,
        cap=cap,
        active=[run if isinstance(run, ActiveRun) else ActiveRun(run_id=run) for run in active],
        jobs=jobs,
        lease_seconds=LEASE_SECONDS,
        max_attempts=max_attempts,
        serialize_tables=serialize,
        address=address,
    )


async def retry(store: Store, entry_id: int) -> bool:
    """Run one entry again, as an operator does."""
    return await Operations(store.pool).change(RETRY, [entry_id]) == [entry_id]


async def request_cancel(store: Store, entry_id: int) -> bool:
    """Ask for the cancellation of one entry, as an operator does."""
    return await Operations(store.pool).change(CANCEL, [entry_id]) == [entry_id]


async def counts(store: Store) -> dict[str, dict[Status, int]]:
    """Count the entries in each state, per workspace."""
    sql = "SELECT workspace, status, COUNT(*) AS entries FROM track_processing GROUP BY workspace, status"
    found: dict[str, dict[Status, int]] = {}
    for row in await store.pool.transact(lambda session: session.select(sql), writes=False):
        found.setdefault(row["workspace"], {})[Status(row["status"])] = int(row["entries"])
    return found


def schema_version(connector: Connector) -> int:
    """Check the schema on a connection of its own."""
    connection = connector.connect().connection
    try:
        return migrate.check(Session(connection, connector))
    finally:
        connection.close()


async def entry_of(store: Store, entry_id: int) -> Entry:
    """Return an entry that must be there."""
    entry = await store.get(entry_id)
    assert entry is not None
    return entry


async def queued(store: Store, table: str = "sales", **fields: Any) -> Claim:
    """Insert an entry and claim it."""
    [entry_id] = await add(store, table, **fields)
    [claimed] = [c for c in await claim(store) if c.entry_id == entry_id]
    return claimed


async def begun(store: Store, claimed: Claim) -> Entry:
    """Begin the submission of a claim."""
    entry = await store.begin_submission(claimed, LEASE_SECONDS, "{}")
    assert entry is not None
    return entry


async def take_up(store: Store, claimed: Claim) -> Entry | None:
    """Take up a claim whose request is known at once."""
    taken = await store.take_up(claimed, LEASE_SECONDS, address_of=lambda _: "", request_of=lambda *_: "{}")
    return None if taken is None else taken.begun


async def running(store: Store, run_id: int, table: str = "sales", **fields: Any) -> Entry:
    """Insert an entry and bring it to RUNNING."""
    claimed = await queued(store, table, **fields)
    await begun(store, claimed)
    assert await store.record_run(claimed, run_id)
    return await entry_of(store, claimed.entry_id)


def verdict(to: Status, delay_seconds: float = 0, **fields: Any) -> Verdict:
    """A verdict, with an error unless the entry is DONE."""
    return Verdict(to=to, error=None if to is Status.DONE else "why", delay_seconds=delay_seconds, **fields)


def run_log(entry: Entry, to: Status) -> LogRow:
    """Return the log row of an entry's run."""
    assert entry.runid is not None
    return log_of_run(
        entry, Run(run_id=entry.runid, life_cycle_state="TERMINATED"), RunFailure(), verdict(to)
    )


async def finish(store: Store, entry: Entry, to: Status, delay_seconds: float = 0, **fields: Any) -> bool:
    """Finish a RUNNING entry."""
    return await store.finish(entry, verdict(to, delay_seconds, **fields), run_log(entry, to))


async def refuse(store: Store, entry: Entry, to: Status, delay_seconds: float = 0) -> bool:
    """Refuse an entry whose submission has begun."""
    refused = verdict(to, delay_seconds)
    return await store.refuse(entry, refused, log_of_refusal(entry, refused))


def claim_of(entry: Entry, submission: int = 1) -> Claim:
    """Return the claim of one of an entry's submissions."""
    return Claim(entry_id=entry.id, submission=submission)


def status_of(database: Database, entry_id: int) -> str:
    """Return an entry's status, by plain SQL."""
    return str(database.execute("SELECT status FROM track_processing WHERE id = ?", entry_id)[0][0])
