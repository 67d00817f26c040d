"""``retry`` and ``cancel`` by ids and over filters: what is asked, what is changed, what the code says."""

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
        "ids": [4, 3], "refused": [], "more": False, "count": 2, "dry_run": False,
    }  # fmt: skip
    assert history.query("SELECT id FROM track_processing WHERE cancel_requested = 1") == [(3,), (4,)]


def test_nothing_matched(history: CommandLine) -> None:
    for possible, command in (
        ("is final or failed", ("retry", "--table", "nothing", "--yes")),
        ("is final or failed", ("retry", "--state", "RUNNING", "--dry-run")),
        ("is not final", ("cancel", "--state", "DONE", "--yes")),
    ):
        done = history(*command)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"no entry matches, or none that {possible}\n"


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
