"""The two query files stay in step, and the T-SQL parses."""

from pathlib import Path

import pytest
import sqlfluff
import sqlglot
from sqlfluff.core import FluffConfig

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.queries import SQL_ROOT

SQLITE, SQLSERVER = queries.load("sqlite"), queries.load("sqlserver")

#: sp_getapplock's return value has no form that sqlglot reads; sqlfluff and a real engine do.
BATCHES = {"acquire_lock"}


def test_same_names_in_the_same_order_with_the_same_purpose() -> None:
    assert list(SQLITE) == list(SQLSERVER)
    for name, query in SQLITE.items():
        assert query.purpose == SQLSERVER[name].purpose


@pytest.mark.parametrize("name", SQLITE)
def test_same_number_of_parameters(name: str) -> None:
    assert SQLITE[name].sql.count("?") == SQLSERVER[name].sql.count("?")


def test_same_migrations() -> None:
    names = {
        d: sorted(p.name for p in (SQL_ROOT / d / "migrations").iterdir()) for d in ("sqlite", "sqlserver")
    }
    assert names["sqlite"] == names["sqlserver"]


@pytest.mark.parametrize("name", sorted(set(SQLSERVER) - BATCHES))
def test_statement_parses_in_its_dialect(name: str) -> None:
    assert sqlglot.parse_one(SQLSERVER[name].sql, dialect="tsql")
    assert sqlglot.parse_one(SQLITE[name].sql, dialect="sqlite")


@pytest.mark.parametrize("path", sorted((SQL_ROOT / "sqlserver").rglob("*.sql")), ids=lambda path: path.name)
def test_tsql_file_parses(path: Path) -> None:
    config = FluffConfig.from_path(str(Path(__file__).parents[2]))
    # Parsing alone: what a rule dislikes is the linter's business, in make check.
    parsed = sqlfluff.parse(path.read_text(encoding="utf-8"), config=config)
    assert parsed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- a --\nSELECT 1\n", "purpose"),
        ("-- a --\n-- what for\n", "statement"),
        ("-- a --\n-- x\nSELECT 1\n-- a --\n-- y\nSELECT 2\n", "twice"),
    ],
)
def test_broken_query_file_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        queries.parse(text)


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("claim", "status IN ('PENDING', 'FAILED')"),
        ("recover", "(lease_expires_at IS NULL OR lease_expires_at <= SYSUTCDATETIME())"),
        ("cancel_waiting", "deliveries = 0"),
        ("purge", "status IN ('DONE', 'DEAD', 'CANCELED')"),
    ],
)
def test_conditions_stand_outside_the_subquery_too(name: str, condition: str) -> None:
    """An engine that does not hold the rows of the subquery checks them again when it writes."""
    outer = SQLSERVER[name].sql.partition("AND id IN (")[0].partition("\nWHERE ")[2]
    assert condition in " ".join(outer.split())
