"""Benchmarks of two commits in turns, and how their tables are compared."""

import fcntl
import subprocess
import sys
import time
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


def cells(text: str) -> list[list[str]]:
    [table] = printed(text)
    return [list(row.values()) for row in table.rows]


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
    assert [list(row.values()) for row in table.rows] == [
        ["1,000", "begun just now", "50", "4.5"],
        ["2,000", "begun just now", "84", "8.0"],
    ]


def test_columns_of_one_name_stay_apart() -> None:
    [table] = printed("### Submitting\n\n| s | ratio | s | ratio |\n|---|---|---|---|\n| 1 | 2 | 3 | 4 |\n")
    assert table.rows == [{"s": "1", "ratio": "2", "s (2)": "3", "ratio (2)": "4"}]


def test_each_figure_is_compared_within_its_pair() -> None:
    """The second pair met a machine that was half as fast; that changes no ratio."""
    before = [output("4.0", "62"), output("8.0", "62"), output("4.2", "62")]
    after = [output("2.0"), output("4.0"), output("2.1")]
    [text] = compared(before, after)
    assert cells(text) == [
        ["1,000, begun just now", "calls", "62", "50", "0.81"],
        ["1,000, begun just now", "s", "4.2", "2.1", "0.50"],
        ["2,000, begun just now", "calls", "84", "84", "1.00"],
        ["2,000, begun just now", "s", "8", "8", "1.00"],
    ]


def test_figures_that_are_the_same_are_said_to_be() -> None:
    [text] = compared([output("4.0")], [output("4.0")])
    assert text == "### Watching\n\n- no figure that both have differs"


def test_a_number_that_was_nothing_has_no_ratio() -> None:
    [text] = compared([output("0.0")], [output("4.0")])
    assert cells(text)[0] == ["1,000, begun just now", "s", "0", "4", ""]


def test_a_table_that_one_of_them_does_not_print_is_named() -> None:
    texts = list(compared([output("4.0")], [output("4.0", title="Watching more")]))
    assert texts == [
        "Only before has the table: Watching",
        "Only after has the table: Watching more",
    ]


def test_a_table_that_came_in_some_runs_only_is_named() -> None:
    texts = list(compared([output("4.0")] * 2, [output("4.0"), "no server"]))
    assert texts == ["Not all runs have the table: Watching"]


def ways(*rows: tuple[str, ...], columns: tuple[str, ...] = ("way", "s")) -> str:
    return markdown(Table(title="Ways", columns=columns, rows=rows))


def test_rows_and_columns_that_one_of_them_lacks_are_named_and_the_others_compared() -> None:
    before = ways(("timers", "8", "5"), ("by hand", "9", "5"), columns=("way", "s", "calls"))
    after = ways(("notifications", "3", "1"), ("timers", "4", "1"), columns=("way", "s", "statements"))
    [text] = compared([before], [after])
    assert cells(text) == [["timers", "s", "8", "4", "0.50"]]
    assert text.splitlines()[-4:] == [
        "- Only before has the column: calls",
        "- Only after has the column: statements",
        "- Only before has the row: by hand",
        "- Only after has the row: notifications",
    ]


def test_a_row_without_words_is_the_same_row_although_its_figures_differ() -> None:
    [text] = compared([ways(("8",), columns=("s",))], [ways(("4",), columns=("s",))])
    assert cells(text) == [["", "s", "8", "4", "0.50"]]


def test_a_cell_without_a_number_in_one_run_is_not_compared() -> None:
    [text] = compared([ways(("timers", ""), ("by hand", "2"))], [ways(("timers", "4"), ("by hand", "1"))])
    assert cells(text) == [["by hand", "s", "2", "1", "0.50"]]


def test_a_line_that_is_no_row_is_passed_over() -> None:
    [table] = printed(
        "# Title\n| a | b |\n|---|---|\n| 1 | 2 |\n| a warning with a bar | or | more |\n| 3 | 4 |\n"
    )
    assert table.rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_tables_under_one_heading_are_told_apart() -> None:
    """Prices, for example, come without a heading of their own."""
    prices = "| | EUR |\n|---|---|\n| a run | 2.0 |\n"
    [counted, priced] = compared([output("4.0") + prices], [output("2.0") + prices.replace("2.0", "1.0")])
    assert cells(counted)[0] == ["1,000, begun just now", "s", "4", "2", "0.50"]
    assert printed(priced)[0].title == "Watching (2)"
    assert cells(priced) == [["a run", "EUR", "2", "1", "0.50"]]


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
        outputs = list(pairs.in_turns(before, repository, command, 2))
    assert not before.exists()
    [text] = compared(*zip(*outputs, strict=True))
    assert cells(text)[0] == ["1,000, begun just now", "s", "4", "2", "0.50"]


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
        pytest.raises(CannotCompare, match=r"(?s)^after: .* failed; .*so far.*no server"),
    ):
        list(pairs.in_turns(before, repository, [sys.executable, "program.py"], 1))


def test_a_run_that_does_not_end_is_ended(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "RUN_SECONDS", 0.5)
    (repository / "program.py").write_text("import time; time.sleep(60)")
    with (
        pairs.checked_out(repository, "HEAD") as before,
        pytest.raises(CannotCompare, match="took more than"),
    ):
        list(pairs.in_turns(repository, before, [sys.executable, "program.py"], 1))


#: Starts a server that holds a lock, and fails.
LEAVES_A_SERVER = """
import pathlib, subprocess, sys, time
server = "import fcntl, time; held = open('held', 'w'); fcntl.flock(held, fcntl.LOCK_EX); " \\
    "print('held', file=held, flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not pathlib.Path("held").exists() or not pathlib.Path("held").read_text():
    time.sleep(0.02)
raise SystemExit("no answer")
"""


def test_servers_end_with_the_run_that_started_them(repository: Path) -> None:
    (repository / "program.py").write_text(LEAVES_A_SERVER)
    with (
        pairs.checked_out(repository, "old") as before,
        pytest.raises(CannotCompare, match="no answer"),
    ):
        list(pairs.in_turns(before, repository, [sys.executable, "program.py"], 1))
    with (repository / "held").open() as held:
        for _ in range(200):  # a killed process lets go a moment later
            try:
                return fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
    pytest.fail("the server goes on")


def test_a_machine_without_git_is_told_apart(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with (
        pytest.raises(CannotCompare, match=r"git, which has the code of 'old', does not run: .*No such file"),
        pairs.checked_out(repository, "old"),
    ):
        raise AssertionError("not reached")


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with benchmarks: ``watching`` at the tag ``old``, and ``store`` as well now."""
    git(tmp_path, "init", "-q")
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (tmp_path / "app.py").write_text("SECONDS = 4.0")
    (folder / "__main__.py").write_text(
        "import sys, importlib; importlib.import_module('benchmarks.' + sys.argv[1])"
    )
    (folder / "watching.py").write_text(
        f"import app; print({output('{}')!r}.replace('{{}}', str(app.SECONDS)))"
    )
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "old")
    git(tmp_path, "tag", "old")
    (tmp_path / "app.py").write_text("SECONDS = 2.0")
    (folder / "store.py").write_text((folder / "watching.py").read_text())
    monkeypatch.setattr(pairs, "ROOT", tmp_path)
    return tmp_path


def test_the_command_compares_a_commit_with_the_checkout(
    benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs.main(["old", "watching", "--times", "2"])
    printed_text, progress = capsys.readouterr()
    assert cells(printed_text)[0] == ["1,000, begun just now", "s", "4", "2", "0.50"]
    assert "before: old; after: this checkout; pairs: 2\n\n" in printed_text
    assert [line.rpartition(" ")[2] for line in progress.splitlines()] == [
        "before",
        "after",
        "after",
        "before",
    ]
    assert not list((benchmarks / ".run").iterdir())


def test_a_commit_that_lacks_the_topic_is_measured_with_the_benchmarks_of_the_checkout(
    benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs.main(["old", "store", "--times", "1"])
    printed_text = capsys.readouterr().out
    assert "before has no benchmark store\nthis checkout's benchmarks measure both\n" in printed_text
    assert cells(printed_text)[0] == ["1,000, begun just now", "s", "4", "2", "0.50"]


def test_the_same_benchmarks_measure_both_if_that_is_asked_for(
    benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = benchmarks / "benchmarks" / "watching.py"
    program.write_text(program.read_text().replace("Watching", "Watching anew"))
    pairs.main(["old", "watching", "--times", "1", "--same"])
    printed_text = capsys.readouterr().out
    assert "this checkout's benchmarks measure both" in printed_text
    assert printed(printed_text)[0].title == "Watching anew"
    assert cells(printed_text)[0] == ["1,000, begun just now", "s", "4", "2", "0.50"]


def test_the_command_fails_with_a_sentence_where_there_is_no_such_commit(benchmarks: Path) -> None:
    with pytest.raises(SystemExit, match=r"'nowhere' cannot be checked out: fatal: .*; name a commit"):
        pairs.main(["nowhere", "watching"])


def test_pairs_before_one_that_fails_are_compared(
    benchmarks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program of the checkout runs once."""
    program = benchmarks / "benchmarks" / "watching.py"
    program.write_text(f"open('ran', 'x')\n{program.read_text()}")
    with pytest.raises(SystemExit, match=r"after: .* failed"):
        pairs.main(["old", "watching", "--times", "2"])
    assert cells(capsys.readouterr().out)[0] == ["1,000, begun just now", "s", "4", "2", "0.50"]
