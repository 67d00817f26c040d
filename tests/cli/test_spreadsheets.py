"""An export that is opened in a spreadsheet runs nothing, and can be added again."""

import csv
import io

import pytest

from orchestrator.cli import add, output
from tests.cli.support import CommandLine

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "''=1")

HARMLESS = ("sales", "a=b", "'quoted'", "'", '{"a": "=1"}', "", " =1")


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_gets_one_apostrophe(text: str) -> None:
    cell = output.guarded(text)
    assert cell == "'" + text.replace("\r", "\n")
    assert output.unguarded(cell) == text.replace("\r", "\n")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert output.guarded(text) == output.unguarded(text) == text


def test_an_export_has_no_formula_and_a_row_for_each_entry(cli: CommandLine) -> None:
    for text in FORMULAS:
        cli.execute(
            "INSERT INTO track_processing (table_name, workspace, priority, parameters, last_error)"
            " VALUES (?, ?, -5, ?, ?)",
            *(text, text, text, "first\r=second"),
        )
    rows = list(csv.DictReader(io.StringIO(cli("export", "--parameters").stdout), strict=True))
    assert len(rows) == len(FORMULAS)
    for row, text in zip(rows, FORMULAS, strict=True):
        expected = "'" + text.replace("\r", "\n")
        assert (row["table_name"], row["workspace"], row["parameters"]) == (expected, expected, expected)
        assert row["last_error"] == "first\n=second"
        assert row["priority"] == "-5"


def test_what_was_exported_can_be_added_again(cli: CommandLine) -> None:
    """All but tabs and line ends, which no row that is added may have in its names."""
    names = [text for text in (*FORMULAS, *HARMLESS) if text.strip() and text.isprintable()]
    for name in names:
        cli.execute("INSERT INTO track_processing (table_name, priority) VALUES (?, -5)", name)
    rows = csv.DictReader(io.StringIO(cli("export", "--parameters").stdout))
    file = io.StringIO()
    columns = ("table_name", "workspace", "priority", "parameters")
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    file.seek(0)
    added = add._read_csv(file, {"default"})
    assert [(entry.table_name, entry.priority, entry.parameters) for entry in added] == [
        (name, -5, None) for name in names
    ]
