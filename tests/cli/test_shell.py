"""What scripts and shells rely on: documents, completion, pipes, and that the functions load none of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.cli.main import commands
from tests.cli.support import CommandLine
from tests.conftest import ROOT

#: Completes what ``COMP_LINE`` holds, as bash does when Tab is pressed.
COMPLETE = """
eval "$(orchestrator completion bash)"
COMP_WORDS=($COMP_LINE "$LAST")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_orchestrator_completion orchestrator
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which ``orchestrator`` is, with the Python that runs the tests."""
    script = (ROOT / "scripts" / "orchestrator").read_text(encoding="utf-8")
    interpreter = '"$root/.venv/bin/python"'
    assert interpreter in script
    (tmp_path / "scripts").mkdir()
    made = tmp_path / "scripts" / "orchestrator"
    made.write_text(script.replace(interpreter, f'"{sys.executable}"'))
    made.chmod(0o755)
    (tmp_path / "orchestrator").symlink_to(ROOT / "orchestrator")
    return f"{made.parent}:/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("line", "last", "expected"),
    [
        ("orchestrator", "ca", {"cancel"}),
        ("orchestrator list --state", "de", {"dead"}),
        ("orchestrator retry", "--d", {"--dry-run"}),
    ],
)
def test_bash_completes(path: str, line: str, last: str, expected: set[str]) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE],
        env={"PATH": path, "COMP_LINE": line, "LAST": last},
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(cli: CommandLine, shell: str) -> None:
    done = cli("completion", shell)
    assert (done.returncode, "_ORCHESTRATOR_COMPLETE" in done.stdout) == (0, True)


def test_json_of_what_tends_to_the_installation(cli: CommandLine) -> None:
    latest = len(migrate.available("sqlite"))
    assert cli.json("init-db") == {"adopted": [], "applied": [], "version": latest}
    assert cli.json("purge", "--older-than", "90d") == {"deleted": 0}


def test_json_of_what_reaches_out(full_cli: CommandLine) -> None:
    job_id = full_cli.json("create-job", "--notebook", "/x")["job_id"]
    assert re.fullmatch(r"[1-9]\d*", job_id), "text, as all ids in JSON are"
    full_cli.environment["DATABRICKS_JOB_ID"] = job_id
    assert full_cli.json("pass", "monitor") == {"function": "monitor", "problems": []}
    checked = full_cli.json("check")
    assert checked["ok"] is True
    subjects = [finding["subject"] for finding in checked["findings"]]
    assert subjects[:5] == ["settings", "request bodies", "store", "entries", "queue"]


def test_every_command_but_csv_and_completion_has_json() -> None:
    without = {
        name
        for name, command in commands.commands.items()
        if "--json" not in {option for parameter in command.params for option in parameter.opts}
    }
    assert without == {"export", "completion"}


def test_every_command_and_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = {name: command for name, command in commands.commands.items() if not command.hidden}
    assert commands.commands.keys() - shown.keys() == {"tick"}
    for name, command in shown.items():
        assert re.search(rf"^## .*`{name}`", text, re.MULTILINE), name
        for parameter in command.params:
            for option in (each for each in parameter.opts if each.startswith("--")):
                assert option in text, f"{name} {option}"
    for code in ("0", "1", "2", "3", "4", "130"):
        assert f"| {code} |" in text


def test_a_reader_that_stops_early_is_no_error(history: CommandLine) -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m orchestrator export | head -n 1"],
        cwd=history.folder,
        env=history.whole_environment(),
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    assert done.stdout.startswith("id,workspace,")
    assert done.stderr == ""


def test_the_functions_load_nothing_of_the_command_line() -> None:
    program = (
        "import sys, function_app, orchestrator.bootstrap;"
        "print(sorted({'click', 'rich', 'orchestrator.cli'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=40, check=True
    )
    assert done.stdout == "[]\n"
