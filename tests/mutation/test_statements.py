"""What mutation testing changes in named SQL, and that it leaves everything else as it is."""

import pytest

from orchestrator.adapters.store import queries
from tests.mutation.statements import mutants_of

HEAD = "-- a --\n-- What for.\n"


def changes(sql: str) -> dict[str, str]:
    """Return the changed statements by what was changed."""
    return {each.what: each.text.removeprefix(HEAD) for each in mutants_of(f"{HEAD}{sql}\n")}


def test_a_condition_becomes_true_and_keeps_its_parameter() -> None:
    assert changes("SELECT b FROM t WHERE a = ? AND b IS NULL") == {
        "true: a = ?": "SELECT b FROM t WHERE (a = ? OR 1 = 1) AND b IS NULL\n",
        "true: b IS NULL": "SELECT b FROM t WHERE a = ? AND (b IS NULL OR 1 = 1)\n",
    }


def test_one_of_several_conditions_that_suffice_becomes_false() -> None:
    found = changes("SELECT b FROM t WHERE (a = 1 OR {due t}) ORDER BY b")
    assert list(found) == ["false: a = 1", "false: {due t}", "true: (a = 1 OR {due t})"]
    assert found["false: {due t}"] == "SELECT b FROM t WHERE (a = 1 OR ({due t} AND 1 = 0)) ORDER BY b\n"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a <= 2 FROM t", ["SELECT a < 2 FROM t"]),
        ("SELECT a + 1 FROM t", ["SELECT a - 1 FROM t"]),
        ("SELECT a FROM t ORDER BY a DESC", ["SELECT a FROM t ORDER BY a ASC"]),
        ("SELECT CASE a WHEN 1 THEN 2 END FROM t -- a <= b", []),
        ("SELECT a {index i} FROM t ORDER BY b ASC", ["SELECT a  FROM t ORDER BY b DESC"]),
    ],
)
def test_comparisons_sums_and_orders(sql: str, expected: list[str]) -> None:
    assert list(changes(sql).values()) == [f"{each}\n" for each in expected]


def test_a_state_is_left_out_and_an_assignment_keeps_the_old_value() -> None:
    found = changes("UPDATE t\nSET a = b + ?,\n    c = NULL\nWHERE s IN ('X', 'Y')")
    assert found["without 'X' of 'X', 'Y'"].endswith("WHERE s IN ('Y')\n")
    assert "a = CASE WHEN 1 = 1 THEN a ELSE b + ? END,\n" in found["kept: a"]
    assert "c = CASE WHEN 1 = 1 THEN c ELSE NULL END\n" in found["kept: c"]


def test_every_mutant_of_the_app_is_rendered_for_both_databases() -> None:
    """One in forty: what is changed is still named SQL, and has the same parameters."""
    text = queries._read("entries.sql")
    for mutant in list(mutants_of(text))[::40]:
        for dialect in ("sqlite", "sqlserver"):
            before = queries._rendered(queries._parse(text), dialect)
            after = queries._rendered(queries._parse(mutant.text), dialect)
            assert before.keys() == after.keys()
            for name, query in before.items():
                assert query.sql.count("?") == after[name].sql.count("?"), mutant.what
