"""Benchmarks of two commits in turns, and how their tables are compared."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import pairs
from benchmarks.pairs import CannotCompare, compared, number_of, printed
from benchmarks.tables import Table, markdown


def output(seconds: str, calls: str = "50", title: str = "Watching") -> str:
    table = Table(
        title=title,
        columns=("runs", "", "calls", "s"),
        rows=[("1,000", "begun just now", calls, seconds), ("2,000", "begun just now", "84", "8.0")],
        notes=["a note | with a bar"],
    )
    return f"2026-11-29, 2 cores\n\n## Watching: a pass\n\n{markdown(table)}\n\n(watching: 3 s)\n"


@pytest.mark.parametrize(
    ("cell", "number"),
    [("12,897", 12897), ("91.2 %", 91.2), ("14 (1.4%)", 14), ("-1.5", -1.5), ("", None), ("1 run", None)],
)
def test_a_cell_holds_a_number_or_words(cell: str, number: float | None) -> None:
    assert number_of(cell) == number


def test_tables_are_read_as_they_are_printed() -> None:
    [table] = printed(output("4.5"))
    assert table.title == "Watching"
    assert table.columns == ["runs", "", "calls", "s"]
    assert table.rows == [["1,000", "begun just now", "50", "4.5"], ["2,000", "begun just now", "84", "8.0"]]


def test_each_figure_is_compared_within_its_pair() -> None:
    """The second pair met a machine that was half as fast; that changes no ratio."""
    before = [output("4.0", "62"), output("8.0", "62"), output("4.2", "62")]
    after = [output("2.0"), output("4.0"), output("2.1")]
    [text] = compared(before, after)
    assert printed(text)[0].rows == [
        ["1,000, begun just now", "calls", "62", "50", "0.81"],
        ["1,000, begun just now", "s", "4.2", "2.1", "0.50"],
        ["2,000, begun just now", "calls", "84", "84", "1.00"],
        ["2,000, begun just now", "s", "8", "8", "1.00"],
    ]


def test_figures_that_are_the_same_are_said_to_be() -> None:
    [text] = compared([output("4.0")], [output("4.0")])
    assert "all figures are the same" in text


def test_a_number_that_was_nothing_has_no_ratio() -> None:
    [text] = compared([output("0.0")], [output("4.0")])
    assert printed(text)[0].rows[0] == ["1,000, begun just now, 50", "s", "0", "4", ""]


def test_a_table_that_one_of_them_does_not_print_is_named() -> None:
    texts = list(compared([output("4.0")], [output("4.0", title="Watching more")]))
    assert texts == [
        "Not compared, since not all runs print this table alike: Watching",
        "Not compared, since not all runs print this table alike: Watching more",
    ]


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository whose program printed 4.0 at the tag ``old``, and prints 2.0 now."""
    git(tmp_path, "init", "-q")
    for seconds in ("4.0", "2.0"):
        (tmp_path / "program.py").write_text(f"print({output(seconds)!r})")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", seconds)
        if seconds == "4.0":
            git(tmp_path, "tag", "old")
    (tmp_path / "node_modules").mkdir()
    return tmp_path


def test_both_run_in_turns(repository: Path) -> None:
    command = [sys.executable, "program.py"]
    with pairs.checked_out(repository, "old") as before:
        assert (before / "node_modules").samefile(repository / "node_modules")
        outputs = pairs.in_turns(before, repository, command, 2)
    assert not before.exists()
    [text] = compared(*outputs)
    assert printed(text)[0].rows[0] == ["1,000, begun just now, 50", "s", "4", "2", "0.50"]


@pytest.mark.parametrize("commit", ["nowhere", "--output=file", ""])
def test_what_is_not_a_commit_is_refused(repository: Path, commit: str) -> None:
    with (
        pytest.raises(CannotCompare, match=r"cannot be checked out: fatal: .*; name a commit"),
        pairs.checked_out(repository, commit),
    ):
        raise AssertionError("not reached")
    assert not (repository / "file").exists()


def test_a_run_that_fails_shows_how_its_output_ended(repository: Path) -> None:
    (repository / "program.py").write_text("print('so far'); raise SystemExit('no server')")
    with (
        pairs.checked_out(repository, "old") as before,
        pytest.raises(CannotCompare, match=r"(?s)failed in .*so far.*no server"),
    ):
        pairs.in_turns(before, repository, [sys.executable, "program.py"], 1)


def test_a_run_that_does_not_end_is_ended(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "RUN_SECONDS", 0.5)
    (repository / "program.py").write_text("import time; time.sleep(60)")
    with (
        pairs.checked_out(repository, "HEAD") as before,
        pytest.raises(CannotCompare, match="took more than"),
    ):
        pairs.in_turns(repository, before, [sys.executable, "program.py"], 1)
