"""Kinds of tables that only SQL Server itself has: what an adoption says of what the catalogue tells."""

from dataclasses import replace
from typing import Any

from orchestrator.adapters.store.adopt import sqlserver
from orchestrator.adapters.store.adopt.sqlserver import _Found
from orchestrator.adapters.store.adopt.work import Column


def _column(name: str, kind: str, **changed: Any) -> Column:
    row = {"name": name, "type": kind, "max_length": 20, "is_nullable": 1, "default_name": None}
    flags = dict.fromkeys(("is_identity", "is_computed", "generated_always_type"), 0)
    return sqlserver._column({**row, **flags, **changed})


#: A table that fits as it is.
_PLAIN = _Found(
    columns={"status": _column("STATUS", "varchar"), "runid": _column("RUNID", "bigint")},
    indexed=(),
    checks=(),
    triggers=(),
    statistics=("by_hand",),
    is_versioned=False,
    case_matters=False,
)


def test_a_plain_table_has_no_problem() -> None:
    assert sqlserver._kind_problems(_PLAIN) == []
    assert sqlserver._state_problems(_PLAIN) == []


def test_a_temporal_table_is_adopted_without_its_versioning() -> None:
    [problem] = sqlserver._kind_problems(replace(_PLAIN, is_versioned=True))
    assert "ALTER TABLE track_processing SET (SYSTEM_VERSIONING = OFF)" in problem


def test_a_columnstore_is_no_store_for_single_rows() -> None:
    row = {"column_name": "runid", "index_name": "cci", "index_type": 5}
    [problem] = sqlserver._kind_problems(replace(_PLAIN, indexed=(row, {**row, "column_name": "status"})))
    assert "cci is a clustered columnstore" in problem
    assert "DROP_EXISTING" in problem


def test_statistics_by_hand_are_in_the_way_of_another_type() -> None:
    columns = {**_PLAIN.columns, "runid": _column("RUNID", "varchar")}
    [problem] = sqlserver._state_problems(replace(_PLAIN, columns=columns))
    assert "RUNID has to get another type" in problem
    assert "DROP STATISTICS track_processing.[by_hand]" in problem


def test_a_period_column_counts_as_computed() -> None:
    assert _column("updated_at", "datetime2", generated_always_type=1).computed
