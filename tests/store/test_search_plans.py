"""Every search that can be built examines the entries of its windows and no others."""

import itertools
import re
from datetime import UTC, datetime

import pytest

from orchestrator.adapters.store.search import Search
from orchestrator.core.search import EntryFilter, Key, Sort, time_text
from orchestrator.core.states import NoStatus, Status
from tests.store.conftest import Database
from tests.store.test_plans import fill, is_babelfish, whole_reads_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = Key(id=17, updated_at=time_text(NOON))

FILTERS = [
    EntryFilter(),
    EntryFilter(since=NOON, until=NOON),
    EntryFilter(states=frozenset({Status.DEAD})),
    EntryFilter(states=frozenset({Status.DEAD, Status.FAILED}), workspace="default", error="why"),
    EntryFilter(states=frozenset({NoStatus.UNREADABLE}), error="why"),
    EntryFilter(states=frozenset({NoStatus.UNREADABLE, Status.DEAD}), since=NOON),
    EntryFilter(table="old"),
    EntryFilter(table="o*d", error="why"),
    EntryFilter(run_id=77, since=NOON),
    EntryFilter(ids=frozenset({3, 4}), run_id=77, since=NOON),
]

#: SQLite's names for intermediate results of a statement.
_SUBQUERY = re.compile(r"^\(subquery-\d+\)$|^part\d+$|^found$")


def test_no_search_reads_a_whole_table(database: Database) -> None:
    if is_babelfish(database):
        pytest.skip("it plans a range by statistics, which a new table has not got")
    fill(database)
    for wanted, sort, after in itertools.product(FILTERS, Sort, (None, PLACE)):
        search = Search(dialect=database.connector.dialect, wanted=wanted, sort=sort, after=after)
        for statement in (
            search.entries(window=50, limit=51),
            search.entries(window=50, limit=51, parameters=True),
            search.end(window=50),
        ):
            values = [
                str(each.replace(tzinfo=None)) if isinstance(each, datetime) else each
                for each in statement.values
            ]
            read = whole_reads_of(database, statement.sql, values)
            assert {name for name in read if not _SUBQUERY.match(name)} == set(), statement.sql


def test_a_value_is_never_part_of_the_statement() -> None:
    wanted = EntryFilter(
        table="ta'ble*",
        workspace="wo'rk",
        error="er'ror",
        states=frozenset({Status.DEAD}),
        run_id=4711,
        ids=frozenset({4712}),
    )
    for dialect in ("sqlite", "sqlserver"):
        statement = Search(dialect=dialect, wanted=wanted, sort=Sort.NEWEST, after=PLACE).entries(
            window=20_000, limit=51
        )
        assert not re.search(r"ta'|wo'|er'|4711|4712", statement.sql)
        assert "AND (entry.status IN (?))" in statement.sql
        assert statement.sql.count("?") == len(statement.values)
