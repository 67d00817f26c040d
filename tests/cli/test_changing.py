"""``retry``, ``cancel``, ``resolve`` by ids and over filters: what is asked and changed, the exit codes."""

import json

import pytest

from orchestrator.core.search import MAX_MATCHING
from tests.cli.support import CommandLine
from tests.cli.terminal import terminal


def states(cli: CommandLine) -> list[object]:
    return [status for (status,) in cli.query("SELECT status FROM track_processing ORDER BY id")]


def test_a_dry_run_changes_nothing(history: CommandLine) -> None:
    before = history.query("SELECT * FROM track_processing")
    by_filter = history("retry", "--table", "*", "--dry-run")
    assert (by_filter.returncode, by_filter.stdout) == (0, "3 would wait again\n2 would wait again\n")
    by_id = history("cancel", "6", "1", "99", "--dry-run")
    assert (by_id.returncode, by_id.stdout) == (1, "6 would be cancelled\n")
    assert by_id.stderr == "entry 1 is DONE and cannot be cancelled: it is over\nthere is no entry 99\n"
    assert history.query("SELECT * FROM track_processing") == before


def test_a_filter_changes_only_what_it_matches_and_can_be_changed(history: CommandLine) -> None:
    done = history("retry", "--table", "sales*", "--state", "DONE", "--state", "DEAD", "--yes")
    assert (done.returncode, done.stdout) == (0, "2 waits again\n1 waits again\n")
    assert states(history) == ["PENDING", "PENDING", "FAILED", "RUNNING", "CANCELED", "PENDING"]
    cancelled = history("cancel", "--table", "orders*", "--yes", "--json")
    assert json.loads(cancelled.stdout) == {
        "ids": ["4", "3"], "refused": [], "more": False, "count": 2, "dry_run": False,
    }  # fmt: skip
    assert history.query("SELECT id FROM track_processing WHERE cancel_requested = 1") == [(3,), (4,)]


def test_nothing_matched(history: CommandLine) -> None:
    for impossible, command in (
        ("wait or are in flight", ("retry", "--table", "nothing", "--yes")),
        ("wait or are in flight", ("retry", "--state", "RUNNING", "--dry-run")),
        ("are final already", ("cancel", "--state", "DONE", "--yes")),
    ):
        done = history(*command)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"no entry matches, or all that match {impossible}\n"


def test_more_rows_than_the_limit_are_left_and_told_of(history: CommandLine) -> None:
    done = history("retry", "--state", "DONE", "--state", "DEAD", "--limit", "1", "--yes")
    assert (done.returncode, done.stdout) == (0, "2 waits again\n")
    assert done.stderr == "more than 1 entry may match: repeat the command for the others\n"


def test_many_rows_are_changed_up_to_the_bound(cli: CommandLine) -> None:
    cli.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO track_processing (table_name, status) SELECT 'table ' || i, 'DEAD' FROM n",
        MAX_MATCHING + 5,
    )
    assert cli.json("retry", "--state", "DEAD", "--yes")["more"] is True
    assert states(cli).count("DEAD") == 5


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("retry",), "give either ids, or a filter"),
        (("retry", "--yes"), "give either ids, or a filter"),
        (("cancel", "1", "--table", "sales"), "give either ids, or a filter"),
        (("cancel", "--table", "sales*"), "no entry matches"),
        (("retry", "--table", "sales*"), "--yes or --dry-run"),
    ],
)
def test_what_nobody_can_be_asked_is_not_done(
    history: CommandLine, arguments: tuple[str, ...], advice: str
) -> None:
    before = states(history)
    done = history(*arguments)
    assert done.returncode in {2, 3}
    assert advice in done.stderr
    assert states(history) == before
    assert history.query("SELECT id FROM track_processing WHERE cancel_requested = 1") == []


@pytest.mark.parametrize(("answer", "code", "state"), [("y\n", 0, "PENDING"), ("n\n", 1, "DEAD")])
def test_a_person_is_asked(history: CommandLine, answer: str, code: int, state: str) -> None:
    with terminal(history, "retry", "--state", "DEAD") as screen:
        screen.read_until("retry 1 entry? [y/N]")
        screen.type(answer)
        assert screen.exit_code() == code
    assert states(history)[1] == state


def test_no_answer_changes_nothing(history: CommandLine) -> None:
    with terminal(history, "retry", "--state", "DEAD") as screen:
        screen.read_until("[y/N]")
        screen.type("\x04")  # Ctrl-D
        assert screen.exit_code() == 130
    assert "Traceback" not in screen.text
    assert states(history)[1] == "DEAD"


def test_a_row_that_changes_while_the_question_stands_is_left_alone(history: CommandLine) -> None:
    with terminal(history, "retry", "--table", "sales_eu") as screen:
        screen.read_until("[y/N]")
        history.execute("UPDATE track_processing SET status = 'DONE' WHERE id = 2")
        screen.type("y\n")
        assert screen.exit_code() == 0
    assert "2 has changed since it was found, and is left alone" in screen.text
    assert states(history)[1] == "DONE"


def test_some_ids_are_refused_and_the_others_done(history: CommandLine) -> None:
    done = history("retry", "1", "4", "99", "1")
    assert (done.returncode, done.stdout) == (1, "1 waits again\n")
    assert done.stderr == (
        "entry 4 is RUNNING and cannot be run again: it is waiting or in flight\nthere is no entry 99\n"
    )


def test_entries_are_restarted_and_how_is_chosen(history: CommandLine) -> None:
    done = history("retry", "4", "6", "2", "--restart", "--mode", "repair")
    assert done.stdout == "".join(
        f"{entry_id} is restarted: its run is cancelled first, if one is active\n" for entry_id in (4, 2)
    )
    assert (done.returncode, done.stderr) == (
        1,
        "entry 6 is PENDING and cannot be restarted: it waits already, or its run is about to begin; "
        "once that is RUNNING, repeat this\n",
    )
    columns = "SELECT status, stop_reason, retry_mode FROM track_processing WHERE id IN (2, 4, 6) ORDER BY id"
    assert history.query(columns) == [
        ("PENDING", "RESTART", "repair"),  # no last run is known, so one may have been let go
        ("RUNNING", "RESTART", "repair"),
        ("PENDING", None, None),
    ]
    found = history("retry", "--restart", "--table", "*", "--dry-run")
    assert found.stdout == "4 would be restarted\n3 would be restarted\n"


def test_how_an_entry_is_run_again_is_one_of_two(history: CommandLine) -> None:
    assert history("retry", "2", "--mode", "run").returncode == 0
    assert history.query("SELECT retry_mode FROM track_processing WHERE id = 2") == [("run",)]
    assert history("retry", "2", "--mode", "again").returncode == 2


@pytest.mark.parametrize(
    ("option", "state"), [("--done", "DONE"), ("--failed", "DEAD"), ("--release", "CANCELED")]
)
def test_entries_are_resolved_by_hand(history: CommandLine, option: str, state: str) -> None:
    done = history("resolve", "4", "99", option, "--reason", "the run\ncannot be read \x1b[2J")
    assert (done.returncode, done.stdout) == (1, "4 is resolved\n")
    assert done.stderr == (
        "a run that is still active is not cancelled, and is no longer followed\nthere is no entry 99\n"
    )
    message = "resolved by hand: the run cannot be read [2J"
    logs = "SELECT status, runid, submission, attempt, message FROM process_log WHERE entry_id = 4"
    assert history.query(logs) == [(state, 14, 1, 1, message)]
    assert history.query("SELECT status, last_error, last_runid FROM track_processing WHERE id = 4") == [
        (state, None if state == "DONE" else message, None)
    ]
    again = history("resolve", "4", option, "--reason", "again")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"entry 4 is {state} and cannot be resolved: it is {state} already\n"
    assert len(history.query(logs)) == 1


def test_a_filter_resolves_what_is_neither_done_nor_canceled(history: CommandLine) -> None:
    arguments = ("resolve", "--table", "*", "--release", "--reason", "a new database")
    tried = history(*arguments, "--dry-run")
    assert (tried.returncode, tried.stdout.count(" would be resolved\n")) == (0, 4)
    refused = history(*arguments)
    assert (refused.returncode, "--yes or --dry-run" in refused.stderr) == (2, True)
    assert states(history)[1] == "DEAD"
    assert sorted(history.json(*arguments, "--yes")["ids"]) == ["2", "3", "4", "6"]
    assert states(history) == ["DONE", *["CANCELED"] * 5]
    assert history(*arguments, "--yes").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("4", "--reason", "x"), "give one of --done, --failed and --release"),
        (("4", "--done", "--failed", "--reason", "x"), "give one of --done, --failed and --release"),
        (("4", "--done"), "Missing option '--reason'"),
        (("4", "--done", "--reason", "\x1b \n"), "--reason: must say why"),
        (("--done", "--reason", "x"), "give either ids, or a filter"),
    ],
)
def test_a_resolution_that_is_not_clear_changes_nothing(
    history: CommandLine, arguments: tuple[str, ...], problem: str
) -> None:
    done = history("resolve", *arguments)
    assert (done.returncode, problem in done.stderr) == (2, True)
    assert states(history)[3] == "RUNNING"


def test_a_person_is_asked_before_a_filter_resolves(history: CommandLine) -> None:
    with terminal(history, "resolve", "--state", "RUNNING", "--failed", "--reason", "lost") as screen:
        screen.read_until("resolve 1 entry? [y/N]")
        screen.type("y\n")
        assert screen.exit_code() == 0
    assert states(history)[3] == "DEAD"


def test_there_may_be_an_entry_0_in_an_adopted_table(cli: CommandLine) -> None:
    """An identity that counts up from below 0 passes it."""
    assert cli("retry", "0").stderr == "there is no entry 0\n"
    cli.execute("INSERT INTO track_processing (id, table_name, status) VALUES (0, 'sales', 'DEAD')")
    assert cli("retry", "0").returncode == 0
    assert cli.query("SELECT id, status FROM track_processing") == [(0, "PENDING")]
