"""A command does the same in a copy of a loaded process, as most tests run it, as from a shell."""

import pytest

from tests.cli.support import CommandLine


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("--help",), "", 0),
        ((), "", 2),
        (("list", "--sort", "id"), "", 0),
        (("show", "2", "--parameters"), "", 0),
        (("show", "99"), "", 1),
        (("list", "--table", "nothing"), "", 3),
        (("add", "--jsonl", "-"), '{"table_name": "größe", "priority": "x"}\n', 1),
        (("retry", "--state", "DEAD", "--dry-run"), "", 0),
    ],
)
def test_a_copy_does_what_a_new_process_does(
    history: CommandLine, arguments: tuple[str, ...], stdin: str, code: int
) -> None:
    copied, new = (run(*arguments, stdin=stdin) for run in (history, history.from_shell))
    assert (copied.returncode, copied.stdout, copied.stderr) == (new.returncode, new.stdout, new.stderr)
    assert copied.returncode == code
    assert copied.stdout + copied.stderr


def test_nothing_of_a_command_is_left_for_the_next(history: CommandLine) -> None:
    assert history("list", STATE_DB="elsewhere.db").returncode == 1
    assert history("list").returncode == 0
    assert history("add", "--jsonl", "-", stdin='{"table_name": "one"}\n' * 3).returncode == 0
    assert history("add", "--jsonl", "-").returncode != 0
