"""Entries of loads that pass the rules by: every column may hold whatever its type takes."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.actions import CANCEL, RESTART, RETRY, Action, Resolution, resolve
from orchestrator.core.models import Run
from orchestrator.core.search import EntryFilter, Sort
from orchestrator.core.states import NoStatus, Status
from orchestrator.usecases.operator import Operator
from tests.store.conftest import Database
from tests.store.helpers import entry_of
from tests.store.test_bad_rows import App

#: Words that are no states to any database, in the order of the states between which they are.
NO_STATES = ("", "new", "A", "CANCELLED", "DEADLOCK", "ERROR", "NEW", "PENDINGS", "READY", "STARTED", "~")

#: What else a load may bring, and how the entry ends: its status and the number of its log rows.
LOADED: dict[str, tuple[dict[str, Any], tuple[str, int]]] = {
    "RUNNING without a run": ({"status": "RUNNING", "submission": 1}, ("DONE", 1)),
    "less than no attempts": ({"attempt": -5}, ("DONE", 1)),
    "less than no calls": ({"deliveries": -5}, ("DONE", 1)),
    "less than no submissions": ({"submission": -5}, ("DONE", 1)),
    **{
        f"{counter} without end": ({"status": "QUEUED", "submission": 1, counter: 2**31 - 1}, ("DONE", 1))
        for counter in ("postponements", "resends", "slot_waits", "platform_failures")
    },
    "attempts without end": ({"attempt": 2**31 - 1, "max_attempts": 0}, ("DONE", 1)),
    "doubts without end": ({"doubts": "[" * 1_000}, ("DONE", 1)),
    "a limit below zero": ({"max_attempts": -5}, ("DONE", 1)),
    "FAILED with a limit below zero": (
        {"max_attempts": -5, "status": "FAILED", "submission": 1, "attempt": 1},
        ("DEAD", 0),
    ),
}

#: What only SQLite takes: its columns have a loose type.
LOOSE: dict[str, tuple[dict[str, Any], tuple[str, int]]] = {
    "no GUID": ({"entry_guid": "none"}, ("DEAD", 1)),
    "no time to wait for": ({"available_at": "soon"}, ("DONE", 1)),
    "a number for a time": ({"available_at": "12345"}, ("DONE", 1)),
    "no time of birth, and another fault": ({"created_at": "zzz", "attempt": -1}, ("DONE", 1)),
    "no time of birth": ({"created_at": "soon"}, ("DONE", 1)),
    "no time of change": ({"updated_at": "soon"}, ("DONE", 1)),
    "a lease that ends never": (
        {"status": "QUEUED", "submission": 1, "lease_expires_at": "soon"},
        ("DONE", 1),
    ),
    "a switch with a third position": ({"cancel_requested": 7}, ("CANCELED", 0)),
}


def pass_rules_by(database: Database, connection: Any) -> None:
    """Let a connection write what the constraints forbid, as a load does."""
    if database.connector.dialect == "sqlite":
        connection.execute("PRAGMA ignore_check_constraints = ON")
        return
    for (name,) in database.execute(
        "SELECT name FROM sys.check_constraints WHERE parent_object_id = OBJECT_ID('track_processing')"
    ):
        database.execute(f"ALTER TABLE track_processing DROP CONSTRAINT {name}")


@pytest.fixture
def loaded(store: Store, database: Database) -> Iterator[App]:
    """The app, and a third party whom no constraint hinders."""
    connection = database.connector.connect().connection
    pass_rules_by(database, connection)
    yield App(store, connection)
    connection.close()


@pytest.fixture
def reports(store: Store) -> Reports:
    return Reports(store.pool)


async def look(reports: Reports) -> None:
    """Read everything that shows entries; none of it may fail."""
    await reports.status()
    await reports.candidates("default", 100)
    await reports.troubled(queued_seconds=1)
    await reports.long_runs(seconds=1, limit=100)
    await reports.tables(days=1, limit=100)
    await reports.history(hours=1)
    await reports.open_workspaces()


async def test_a_word_that_is_no_state_is_shown_as_such_and_stops_no_other(
    loaded: App, reports: Reports
) -> None:
    loaded.insert("first", {})
    for word in NO_STATES:
        loaded.insert("odd", {"status": word, "submission": 1, "runid": 5, "attempt": -5})
    loaded.insert("last", {})
    await look(reports)
    await loaded.run()
    await look(reports)
    first, *odd, last = loaded.ends()
    assert first == last == ("DONE", None, 1)
    assert odd == [(word, None, 0) for word in NO_STATES]
    shown = {entry.table_name: entry for entry in (await reports.entries(EntryFilter())).entries}
    assert shown["odd"].status is NoStatus.UNREADABLE
    assert shown["first"].status is Status.DONE
    for number, word in enumerate(NO_STATES, start=2):
        story = await reports.story(number)
        assert story is not None
        assert (story.entry.status, story.entry.attempt) == (NoStatus.UNREADABLE, -5)
        assert (story.entry.last_error or "").startswith(f"status is {word!r}, which is none of PENDING,")
    [trouble] = await reports.troubled(queued_seconds=1)
    assert (trouble.entries, trouble.example.id) == (len(NO_STATES), 2)


@pytest.mark.parametrize("sort", Sort)
async def test_those_without_a_state_are_listed_by_themselves(
    loaded: App, reports: Reports, sort: Sort
) -> None:
    words = [*NO_STATES, *(f"WORD {number}" for number in range(40))]
    for number, word in enumerate(words):
        loaded.insert("sales", {})
        loaded.insert(f"odd {number % 2}", {"status": word})
    odd = [entry_id for entry_id in range(1, 2 * len(words) + 1) if entry_id % 2 == 0]
    unreadable = frozenset({NoStatus.UNREADABLE})

    async def listed(wanted: EntryFilter) -> list[int]:
        found: list[int] = []
        after: str | None = None
        while True:
            page = await reports.entries(wanted, sort=sort, limit=7, after=after)
            found += [entry.id for entry in page.entries]
            after = page.next
            if after is None:
                return found[::-1] if sort.descending else found

    assert await listed(EntryFilter(states=unreadable)) == odd
    assert await listed(EntryFilter(states=unreadable | {Status.DEAD})) == odd
    assert await listed(EntryFilter(states=unreadable | {Status.PENDING})) == list(range(1, odd[-1] + 1))
    assert await listed(EntryFilter(states=unreadable, table="odd 1")) == odd[1::2]
    assert await listed(EntryFilter(states=unreadable | {Status.DEAD}, table="odd 1")) == odd[1::2]
    assert await listed(EntryFilter(states=unreadable, table="o*1", workspace="default")) == odd[1::2]
    assert await listed(EntryFilter(states=unreadable, ids=frozenset({1, 2, 3, 4}))) == [2, 4]
    now = datetime.now(UTC)
    assert await listed(EntryFilter(states=unreadable, until=now - timedelta(days=1))) == []
    assert await listed(EntryFilter(states=unreadable | {Status.DEAD}, since=now + timedelta(days=1))) == []


async def test_a_state_in_small_letters_is_read_as_the_database_reads_it(
    loaded: App, reports: Reports, database: Database
) -> None:
    loaded.insert("small", {"status": "pending"})
    loaded.insert("last", {})
    # By the column's collation: ours tells case on every server, that of an adopted table may not.
    [(alike,)] = database.execute(
        "SELECT CASE WHEN status = 'PENDING' THEN 1 ELSE 0 END FROM track_processing"
        " WHERE table_name = 'small'"
    )
    await look(reports)
    [small, _] = sorted((await reports.entries(EntryFilter())).entries, key=lambda entry: entry.id)
    assert small.status is (Status.PENDING if alike else NoStatus.UNREADABLE)
    await loaded.run()
    assert loaded.ends() == [("DONE", None, 1) if alike else ("pending", None, 0), ("DONE", None, 1)]


async def test_an_entry_that_is_set_right_goes_on(loaded: App) -> None:
    loaded.insert("late", {"status": "NEW"})
    await loaded.run()
    loaded.execute("UPDATE track_processing SET status = 'PENDING' WHERE status = 'NEW'")
    await loaded.run()
    assert loaded.ends() == [("DONE", None, 1)]


async def test_what_else_a_load_brings_stops_no_other(
    loaded: App, database: Database, reports: Reports
) -> None:
    cases = LOADED if database.connector.dialect == "sqlserver" else {**LOADED, **LOOSE}
    loaded.insert("first", {})
    for number, (row, _) in enumerate(cases.values()):
        loaded.insert(f"odd_{number}", row)
    loaded.insert("last", {})
    await look(reports)
    await loaded.run()
    await look(reports)
    assert len((await reports.entries(EntryFilter())).entries) == len(cases) + 2
    first, *odd, last = loaded.ends()
    assert first == last == ("DONE", None, 1)
    ends = {name: (status, logs) for name, (status, _, logs) in zip(cases, odd, strict=True)}
    assert ends == {name: end for name, (_, end) in cases.items()}


#: The first and the last times that a column takes.
FIRST_TIME, LAST_TIME = "0001-01-01 00:00:00.000", "9999-12-31 23:59:59.999"

#: Times of an entry at the ends of the calendar, and how it ends: "never" is how people hold an entry back.
EXTREMES: dict[str, tuple[dict[str, Any], tuple[str, int]]] = {
    "since the first day": ({"available_at": FIRST_TIME}, ("DONE", 1)),
    "never": ({"available_at": LAST_TIME}, ("PENDING", 0)),
    "never again": (
        {"status": "FAILED", "submission": 1, "attempt": 1, "available_at": LAST_TIME},
        ("FAILED", 0),
    ),
    "born on the first day": ({"created_at": FIRST_TIME}, ("DONE", 1)),
    "born on the last day": ({"created_at": LAST_TIME}, ("DONE", 1)),
    "changed on the first day": ({"updated_at": FIRST_TIME}, ("DONE", 1)),
    "changed on the last day": ({"updated_at": LAST_TIME}, ("DONE", 1)),
    "a lease of the first day": (
        {"status": "QUEUED", "submission": 1, "lease_expires_at": FIRST_TIME},
        ("DONE", 1),
    ),
    "a lease of the last day": (
        {"status": "QUEUED", "submission": 1, "lease_expires_at": LAST_TIME},
        ("DONE", 1),
    ),
    "done on the first day": ({"status": "DONE", "finished_at": FIRST_TIME}, ("DONE", 0)),
    "done on the last day": ({"status": "DONE", "finished_at": LAST_TIME}, ("DONE", 0)),
}


async def test_times_at_the_ends_of_the_calendar_stop_no_other(loaded: App, reports: Reports) -> None:
    loaded.insert("first", {})
    for name, (row, _) in EXTREMES.items():
        loaded.insert(name, row)
    loaded.insert("last", {})
    await look(reports)
    await loaded.run()
    await look(reports)
    for number in range(1, len(EXTREMES) + 3):
        assert await reports.story(number) is not None
    first, *odd, last = loaded.ends()
    assert first == last == ("DONE", None, 1)
    ends = {name: (status, logs) for name, (status, _, logs) in zip(EXTREMES, odd, strict=True)}
    assert ends == {name: end for name, (_, end) in EXTREMES.items()}


#: Words in the log of a run that an entry was set back to: what the entry becomes, what is shown of the run.
LOGGED = {
    "DONE": ("DONE", Status.DONE),
    "SUCCEEDED": ("DEAD", NoStatus.UNREADABLE),
    "": ("DEAD", NoStatus.UNREADABLE),
    "RUNNING": ("DEAD", Status.RUNNING),
}


async def test_a_word_in_the_log_that_is_no_end_of_a_run_stops_no_other(
    loaded: App, store: Store, reports: Reports
) -> None:
    for number, word in enumerate(LOGGED, start=1):
        loaded.insert(word, {"status": "RUNNING", "submission": 1, "attempt": 1, "runid": number})
        loaded.execute(
            "INSERT INTO process_log (entry_id, submission, attempt, status, runid) VALUES (?, 1, 1, ?, ?)",
            number,
            word,
            number,
        )
    loaded.insert("last", {})
    await look(reports)
    await store.put_right(max_attempts=2, limit=100)  # before a pass looks for the runs
    await loaded.run()
    await look(reports)
    assert [status for status, _, _ in loaded.ends()] == [end for end, _ in LOGGED.values()] + ["DONE"]
    for number, (_, shown) in enumerate(LOGGED.values(), start=1):
        story = await reports.story(number)
        assert story is not None
        assert [log.status for log in story.logs] == [shown]


#: Entries by their state: what else stands in them, and what they become.
ODDLY_WRITTEN: dict[str, tuple[dict[str, Any], str | None]] = {
    "PENDING": ({}, "DONE"),
    "FAILED": ({"submission": 1, "attempt": 1}, "DONE"),
    "QUEUED": ({"submission": 1}, "DONE"),
    "RUNNING": ({"submission": 1, "attempt": 1, "runid": 77}, "DONE"),
    "DONE": ({"finished_at": "2030-01-01 00:00:00"}, None),
    "DEAD": ({"finished_at": "2030-01-01 00:00:00", "attempt": 2}, None),
    "CANCELED": ({"finished_at": "2030-01-01 00:00:00"}, None),
}

#: Collation of a team's own column → how somebody writes a state that it does not tell from ours.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "RTRIM": lambda state: f"{state}   ",
    "NOCASE": str.lower,
}


@pytest.fixture(params=SPELLINGS)
async def lenient(
    database: Database, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[App, Reports, Callable[[str], str]]]:
    """The app on a column that takes two spellings of a state for one, and the other spelling."""
    spell = SPELLINGS[request.param]
    connection = database.connector.connect().connection
    pass_rules_by(database, connection)
    if database.connector.dialect == "sqlite":
        connection.cursor().execute("PRAGMA writable_schema = ON")
        connection.cursor().execute(
            "UPDATE sqlite_master SET sql = REPLACE(sql, 'status TEXT', ?) WHERE name = 'track_processing'",
            (f"status TEXT COLLATE {request.param}",),
        )
        connection.close()
        connection = database.connector.connect().connection
        pass_rules_by(database, connection)
    store = Store(Pool(database.connector))
    app = App(store, connection)
    app.insert("first", {"status": spell("PENDING")})
    if not app.execute("SELECT 1 FROM track_processing WHERE status = 'PENDING'"):
        pytest.skip("this database's column tells the two spellings")
    app.execute("DELETE FROM track_processing")
    yield app, Reports(store.pool), spell
    await store.pool.close()
    connection.close()


async def test_a_state_is_read_as_the_database_reads_it(
    lenient: tuple[App, Reports, Callable[[str], str]],
) -> None:
    app, reports, spell = lenient
    app.runs.runs[77] = Run(run_id=77, life_cycle_state="RUNNING")
    for state, (row, _) in ODDLY_WRITTEN.items():
        app.insert(state, {"status": spell(state), **row})
    app.insert("last", {})
    await look(reports)
    shown = {entry.table_name: entry.status for entry in (await reports.entries(EntryFilter())).entries}
    assert shown == {**{state: Status(state) for state in ODDLY_WRITTEN}, "last": Status.PENDING}
    for state in Status:
        found = (await reports.entries(EntryFilter(states=frozenset({state})))).entries
        assert {entry.table_name for entry in found} >= {state}, "the search agrees"
    assert (await reports.entries(EntryFilter(states=frozenset({NoStatus.UNREADABLE})))).entries == []
    app.runs.end(77, "SUCCESS")
    await app.run()
    await app.run()
    await look(reports)
    ends = [spell(state) if end is None else end for state, (_, end) in ODDLY_WRITTEN.items()]
    assert [status for status, _, _ in app.ends()] == [*ends, "DONE"]


#: Everything that a person may do to an entry.
ACTIONS = (RETRY, RESTART, CANCEL, *(resolve(each, "by hand") for each in Resolution))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"{action.name} {getattr(action, 'to', '')}")
@pytest.mark.parametrize("by_filter", [False, True])
async def test_what_people_do_goes_by_the_database_s_reading(
    lenient: tuple[App, Reports, Callable[[str], str]], action: Action, *, by_filter: bool
) -> None:
    app, reports, spell = lenient
    for state, (row, _) in ODDLY_WRITTEN.items():
        for run_id, word in enumerate((state, spell(state)), start=77):
            run = {"runid": run_id} if "runid" in row else {}
            app.insert(f"{state} as {word}", {**row, **run, "status": word})
    ids = [int(entry_id) for (entry_id,) in app.execute("SELECT id FROM track_processing ORDER BY id")]
    store = app.usecases.store
    operator = Operator(
        operations=Operations(store.pool), entries=store, reports=reports, inserts_refused=None
    )
    if by_filter:
        changes = await operator.change_found(action, await operator.find(action, EntryFilter(), limit=100))
        assert changes.refused == []
    else:
        changes = await operator.change_each(action, ids, dry_run=False)
    for ours, theirs in zip(ids[::2], ids[1::2], strict=True):
        assert (ours in changes.ids) == (theirs in changes.ids), ours
        first, second = [await entry_of(store, entry_id) for entry_id in (ours, theirs)]
        assert (first.status, first.cancel_requested, first.attempt, first.last_error) == (
            second.status, second.cancel_requested, second.attempt, second.last_error,
        )  # fmt: skip
    assert changes.ids
    await look(reports)
