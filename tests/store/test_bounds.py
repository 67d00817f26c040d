"""However much somebody has written into a row, the app reads no more of it than it can use."""

import re

import pytest

from orchestrator.adapters.store import dialects, queries
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.models import LogRow
from orchestrator.core.run_requests import MAX_TEXT_CHARACTERS, run_request
from orchestrator.core.search import EntryFilter, Sort
from orchestrator.core.states import Status
from tests.fakes import FakeQueue, FakeRuns
from tests.memory import at_most
from tests.store.conftest import Database
from tests.store.helpers import add, entry_of, running
from tests.world import UseCases, workspace

#: Characters in the text that the database makes itself: 50 MB that no part of a test ever holds.
HUGE = 50_000_000

MADE_BY = {
    "sqlite": f"REPLACE(HEX(ZEROBLOB({HUGE // 2})), '00', 'ab')",
    "sqlserver": f"REPLICATE(CAST('ab' AS nvarchar(max)), {HUGE // 2})",
}


def make_huge(database: Database, column: str, entry_id: int, table: str = "track_processing") -> None:
    """Write a text of 50 MB into a column of a row."""
    key = "id" if table == "track_processing" else "entry_id"
    made = MADE_BY[database.connector.dialect]
    database.execute(f"UPDATE {table} SET {column} = {made} WHERE {key} = ?", entry_id)


def counted(database: Database, characters: int) -> int:
    """Return how long the database says that a text is: one that counts the bytes of UTF-8 says half."""
    if database.connector.dialect == "sqlite":
        return characters
    [(size,)] = database.execute("SELECT DATALENGTH(N'ab')")
    return characters * int(size) // 4


@pytest.mark.slow
@pytest.mark.parametrize("column", ["parameters", "options"])
async def test_an_entry_of_50_mb_is_refused_by_its_length(
    store: Store, database: Database, column: str
) -> None:
    runs, queue = FakeRuns(), FakeQueue()
    usecases = UseCases(store=store, runs={"default": runs}, workspaces={"default": workspace()}, queue=queue)
    [entry_id] = await add(store, "sales")
    make_huge(database, column, entry_id)
    with at_most(megabytes=5):
        assert await usecases.trigger() == []
        [claim] = queue.sent
        await usecases.submit(claim)
        assert await usecases.monitor() == []
        entry = await entry_of(store, entry_id)
    assert (entry.status, runs.runs) == (Status.DEAD, {})
    length = counted(database, HUGE)
    assert entry.last_error == f"{column} is {length:,} characters long; the limit is 100,000"


async def test_no_report_reads_what_it_does_not_show(store: Store, database: Database) -> None:
    reports = Reports(store.pool)
    [waiting] = await add(store, "sales")
    make_huge(database, "parameters", waiting)
    if database.connector.dialect == "sqlite":  # SQL Server's column takes no more than is read
        make_huge(database, "last_error", waiting)
    with at_most(megabytes=5):
        for sort in Sort:
            page = await reports.entries(EntryFilter(), sort=sort)
            assert {entry.parameters for entry in page.entries} == {None}
        await reports.candidates("default", 50)
        await reports.troubled(queued_seconds=60)
        await reports.status()
        story = await reports.story(waiting)
    assert story is not None
    assert (story.entry.parameters, story.entry.parameters_length) == (None, None)
    with at_most(megabytes=5):
        page = await reports.entries(EntryFilter(), parameters=True)
    [entry] = page.entries
    assert (len(entry.parameters or ""), entry.parameters_length) == (
        MAX_TEXT_CHARACTERS + 1,
        counted(database, HUGE),
    )


async def test_what_passes_note_is_read_up_to_its_bound(store: Store, database: Database) -> None:
    if database.connector.dialect == "sqlserver":
        pytest.skip("the columns are no longer than that")
    reports, entry = Reports(store.pool), await running(store, 77, "sales")
    await store.note_stray("default", 78, entry.id)
    [stray] = await store.strays("default")
    await store.stray_goes_on(stray, "why")
    await store.note_silence("default", "why")
    for column in ("parameters", "doubts"):
        make_huge(database, column, entry.id)
    make_huge(database, "problem", entry.id, "orchestrator_stray_run")
    database.execute(f"UPDATE orchestrator_silence SET problem = {MADE_BY['sqlite']}")
    with at_most(megabytes=5):
        [silence] = await reports.silences(passes=1, seconds=-60)
        [trouble] = await reports.troubled(queued_seconds=60)
    assert (len(silence.problem), str(trouble.detail).count("ab")) == (4_000, 2_000)
    assert (len(trouble.example.doubts or ""), trouble.example.parameters) == (1_000, None)


async def test_passes_do_not_read_the_parameters_of_what_runs(store: Store, database: Database) -> None:
    entry = await running(store, 77, "sales")
    for column in ("parameters", "request"):
        make_huge(database, column, entry.id)
    runs = FakeRuns()
    usecases = UseCases(
        store=store, runs={"default": runs}, workspaces={"default": workspace()}, queue=FakeQueue()
    )
    with at_most(megabytes=5):
        [found] = await store.running("default")
        await usecases.monitor()
    assert found.parameters_length is None
    with pytest.raises(ValueError, match="without its parameters"):
        run_request(found, await runs.get_job(5))


async def test_blanks_at_the_end_count(store: Store, database: Database) -> None:
    [entry_id] = await add(store, "sales")
    database.execute(
        "UPDATE track_processing SET parameters = ? WHERE id = ?", "{}" + " " * 200_000, entry_id
    )
    assert (await entry_of(store, entry_id)).parameters_length == counted(database, 200_002)


#: The numbers from 1 on, and a trace of 10,000 characters, in each dialect.
NUMBERED = {
    "sqlite": "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)",
    "sqlserver": (
        "WITH n (i) AS (SELECT TOP (30000) ROW_NUMBER() OVER (ORDER BY (SELECT 1))"
        " FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b)"
    ),
}
TRACE = {"sqlite": "HEX(ZEROBLOB(5000))", "sqlserver": "REPLICATE(CAST('x' AS nvarchar(max)), 10000)"}


async def test_the_log_of_an_entry_is_read_in_pages(store: Store, database: Database) -> None:
    """20,000 log rows, each with a trace as long as the app writes them: 200 MB."""
    [entry_id] = await add(store, "sales")
    rows = 20_000
    columns = "entry_id, submission, attempt, status, runid, error_trace"
    database.execute(
        f"{NUMBERED[database.connector.dialect]} INSERT INTO process_log ({columns})"
        f" SELECT {entry_id}, i, i, 'FAILED', 500 + i, {TRACE[database.connector.dialect]} FROM n"
        " WHERE i <= ?",
        rows,
    )
    reports = Reports(store.pool)
    seen: list[LogRow] = []
    before = None
    with at_most(megabytes=25):
        for _ in range(5):
            story = await reports.story(entry_id, runs=200, before=before)
            assert story is not None
            seen = [*story.logs, *seen[:1]]
            before = story.earlier_before
        logs = await store.logs(entry_id)
        of_run = await store.logs(entry_id, run_id=501)
    assert (seen[0].submission, before) == (rows - 999, rows - 999)
    assert [log.submission for log in logs] == list(range(rows - 99, rows + 1))
    assert [log.submission for log in of_run] == [1]
    first = await reports.story(entry_id, before=21)
    assert first is not None
    assert ([log.submission for log in first.logs], first.earlier_before) == (list(range(1, 21)), None)


#: What selects a bounded text, or how long a text is; and the texts that are unbounded in the tables.
BOUNDED = re.compile(r"SUBSTRING\([\w.]+, 1, \d+\) AS \w+|COALESCE\(\w+\(.*?, 0\) AS \w+_length")
LONG = re.compile(
    r"(?<!AS )\b(parameters|options|request|last_error|error_trace|message|result|run_page_url|"
    r"doubts|problem)\b(?! IS )"
)


@pytest.mark.parametrize("name", queries.load("sqlite"))
@pytest.mark.parametrize("dialect", dialects.NAMES)
def test_every_long_text_that_a_statement_returns_is_bounded(dialect: str, name: str) -> None:
    sql = queries.load(dialect)[name].sql
    if sql.startswith("SELECT"):
        returned = sql.partition("\nFROM ")[0]
    else:
        _, _, behind = sql.partition("\nOUTPUT " if dialect == "sqlserver" else "\nRETURNING ")
        returned = re.split(r"\n(?:WHERE|VALUES|FROM) ", behind)[0]
    assert LONG.search(BOUNDED.sub("", " ".join(returned.split()))) is None
