"""``list``, ``show`` and ``export``: the filters, the formats, and nothing that was not asked for."""

import csv
import io
import json

import pytest

from tests.cli.support import CommandLine
from tests.cli.terminal import terminal

ESCAPE = "\x1b"


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), [6, 5, 4, 3, 2, 1]),
        (("--sort", "id", "--limit", "2"), [1, 2]),
        (("--sort", "-id", "--limit", "1"), [6]),
        (("--state", "DEAD", "--state", "failed"), [3, 2]),
        (("--table", "sales"), [1]),
        (("--table", "sales*"), [2, 1]),
        (("--table", "*_eu"), [4, 2]),
        (("--workspace", "default", "--run-id", "14"), [4]),
        (("--run-id", "12"), [2]),
        (("--since", "2026-01-31T05:00:00Z"), [6, 5]),
        (("--since", "2026-01-31T06:00+01:00", "--until", "2026-01-31 05:30"), [5]),
        (("--error", "timedout"), [3]),
    ],
)
def test_the_filters(history: CommandLine, arguments: tuple[str, ...], ids: list[int]) -> None:
    found = [entry["id"] for entry in history.json("list", *arguments)["entries"]]
    assert found == [str(entry_id) for entry_id in ids]


def test_nothing_matched_is_an_exit_code_of_its_own(history: CommandLine) -> None:
    for command in (("list", "--table", "nothing"), ("list", "--since", "1h"), ("export", "--run-id", "99")):
        done = history(*command)
        assert (done.returncode, done.stderr) == (3, "no entry matches\n")
    empty = history("list", "--table", "nothing", "--json")
    assert (empty.returncode, json.loads(empty.stdout)) == (3, {"entries": [], "next": None})


def test_lines_for_scripts_have_tabs_and_are_never_cut(history: CommandLine) -> None:
    history.execute("UPDATE track_processing SET last_error = ? WHERE id = 2", "first\tline\n" + "x" * 300)
    heading, row = history("list", "--state", "DEAD").stdout.splitlines()
    assert heading.split("\t")[:4] == ["id", "workspace", "table_name", "status"]
    assert dict(zip(heading.split("\t"), row.split("\t"), strict=True)) == {
        "id": "2",
        "workspace": "default",
        "table_name": "sales_eu",
        "status": "DEAD",
        "attempt": "1/3",
        "run_id": "12",
        "updated_at": "2026-01-31 02:00:00",
        "last_error": "first line " + "x" * 300,
    }


def test_negative_ids_of_an_adopted_table(history: CommandLine) -> None:
    history.execute("INSERT INTO track_processing (id, table_name, status) VALUES (-5, 'old', 'DEAD')")
    assert history.json("show", "-5")["id"] == "-5"
    assert history.json("retry", "2", "-5", "--dry-run")["ids"] == ["2", "-5"]
    assert history("retry", "-5").stdout == "-5 waits again\n"
    exported = history("export", "--table", "old").stdout.splitlines()
    assert exported[1].startswith("-5,default,old,")
    assert history.json("list", "--sort", "id", "--limit", "1")["entries"][0]["id"] == "-5"
    for command in ("show", "retry"):
        wrong = history(command, "1", "--no-such-option")
        assert (wrong.returncode, "--no-such-option" in wrong.stderr) == (2, True)


def test_the_runs_of_an_entry_come_in_pages(history: CommandLine) -> None:
    history.execute(
        "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
        " INSERT INTO process_log (entry_id, submission, attempt, status) SELECT 6, i, i, 'FAILED' FROM n"
    )
    last = history("show", "6")
    assert ("submission 11," in last.stdout, "submission 10," in last.stdout) == (True, False)
    assert last.stderr == "there are earlier runs: --before 11\n"
    story = history.json("show", "6", "--before", "11", "--runs", "4")
    assert ([run["submission"] for run in story["runs"]], story["runs_before"]) == ([7, 8, 9, 10], 7)
    assert history("show", "6", "--before", "11").stderr == ""


def test_a_list_goes_on_where_it_ended(history: CommandLine) -> None:
    seen: list[str] = []
    after: tuple[str, ...] = ()
    for _ in range(3):
        page = history.json("list", "--limit", "2", *after)
        seen += [entry["id"] for entry in page["entries"]]
        after = ("--after", page["next"])
    assert (seen, page["next"]) == (["6", "5", "4", "3", "2", "1"], None)
    assert history.json("list", "--limit", "2")["next"] in history("list", "--limit", "2").stderr


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("list", "--since", "soon"), "an age such as 12h"),
        (("list", "--after", "nonsense"), "the exact value of `next`"),
        (("list", "--state", "LOST"), "'dead'"),
        (("list", "--run-id", "0"), "must be a whole number from 1"),
        (("list", "--table", "\udcff"), "printable characters"),
        (("list", "--error", ""), "printable characters"),
        (("list", "--limit", "10001"), "must be a whole number from 1 to 10000"),
        (("show",), "Missing argument 'ID'"),
    ],
)
def test_wrong_use_says_what_would_be_right(
    history: CommandLine, arguments: tuple[str, ...], advice: str
) -> None:
    done = history(*arguments)
    assert done.returncode == 2
    assert advice in done.stderr
    assert "Traceback" not in done.stderr


def test_show_has_the_row_and_every_run(history: CommandLine) -> None:
    lines = history("show", "2").stdout.splitlines()
    assert "submission 1, attempt 1: DEAD" in lines
    trace = lines.index("  error_trace       Traceback")
    assert lines[trace + 1] == " " * 20 + "  line 7"
    assert ESCAPE not in history("show", "2").stdout
    story = history.json("show", "2")
    assert (story["id"], story["status"], story["run_id"]) == ("2", "DEAD", "12")
    assert [run["run_page_url"] for run in story["runs"]] == ["https://adb/run/12"]


def test_show_leads_to_a_run_under_way_where_the_settings_know_the_workspace(
    full_cli: CommandLine, history: CommandLine
) -> None:
    host = full_cli.environment["DATABRICKS_HOST"]
    full_cli.environment["DATABRICKS_JOB_ID"] = "7"
    assert f"run_page_url      {host}/#job/7/run/14\n" in full_cli("show", "4").stdout
    assert full_cli.json("show", "4")["run_page_url"] == f"{host}/#job/7/run/14"
    del full_cli.environment["DATABRICKS_HOST"]
    assert full_cli.json("show", "4")["run_page_url"] is None


def test_parameters_are_shown_only_when_asked_for(history: CommandLine) -> None:
    for command in (("list",), ("list", "--json"), ("show", "2"), ("show", "2", "--json"), ("export",)):
        assert "s3cr3t" not in history(*command).stdout, command
        assert "s3cr3t" in history(*command, "--parameters").stdout, command


def test_export_is_csv_with_the_names_of_the_json(history: CommandLine) -> None:
    exported = history("export", "--table", "sales*")
    assert exported.returncode == 0
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    listed = history.json("list", "--table", "sales*", "--sort", "id")["entries"]
    assert [list(row) for row in rows] == [
        [name for name in entry if name not in {"run_page_url", "actions"}] for entry in listed
    ]
    assert [row["id"] for row in rows] == ["1", "2"]
    assert rows[0]["finished_at"] == listed[0]["finished_at"] == "2026-01-31T01:00:00.000Z"
    assert rows[0]["cancel_requested"] == "false"


def test_export_reads_many_pages(cli: CommandLine) -> None:
    cli.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1203)"
        " INSERT INTO track_processing (table_name) SELECT 'table ' || i FROM n"
    )
    rows = list(csv.DictReader(io.StringIO(cli("export").stdout)))
    assert [int(row["id"]) for row in rows] == list(range(1, 1204))
    assert len(cli.json("list", "--limit", "1100")["entries"]) == 1100


def test_a_terminal_gets_a_table_without_foreign_escapes(history: CommandLine) -> None:
    with terminal(history, "list") as screen:
        assert screen.exit_code() == 0
    assert "─────" in screen.text
    assert "last error" in screen.text
    assert f"{ESCAPE}[2J" not in screen.text  # from the row's error
    assert r"\x1b[2J" in screen.text
    assert f"{ESCAPE}[1;31mDEAD" in screen.text


def test_no_color(history: CommandLine) -> None:
    with terminal(history, "list", NO_COLOR="1") as screen:
        assert screen.exit_code() == 0
    assert f"{ESCAPE}[1;31m" not in screen.text
    assert "DEAD" in screen.text


def test_successes_with_failures_are_found_and_marked(history: CommandLine) -> None:
    history.execute("UPDATE track_processing SET last_error = 'SUCCESS_WITH_FAILURES: boom' WHERE id = 1")
    listed = history("list", "--with-failures")
    assert listed.returncode == 0
    assert "DONE with failures" in listed.stdout
    assert [entry["id"] for entry in history.json("list", "--with-failures")["entries"]] == ["1"]
    rows = list(csv.DictReader(io.StringIO(history("export").stdout)))
    assert [row["with_failures"] for row in rows] == ["true", *["false"] * 5]
    exported = list(csv.DictReader(io.StringIO(history("export", "--with-failures").stdout)))
    assert [row["id"] for row in exported] == ["1"]
    history.execute("UPDATE track_processing SET last_error = NULL WHERE id = 1")
    assert history("list", "--with-failures").returncode == 3


def test_show_has_the_exit_value_of_a_notebook(history: CommandLine) -> None:
    assert "result " not in history("show", "2").stdout
    history.execute("UPDATE process_log SET result = ?", '{"rows": 17}')
    assert [run["result"] for run in history.json("show", "2")["runs"]] == ['{"rows": 17}']
    [line] = [line for line in history("show", "2").stdout.splitlines() if line.startswith("  result ")]
    assert line.split(None, 1) == ["result", '{"rows": 17}']
