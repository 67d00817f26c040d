"""Mutate Python with mutmut (https://mutmut.readthedocs.io), in a copy of the project."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.judge import say

_FOLDER = Path(".run/mutation/project")

#: Folder of the code → the fast tests that are about it.
_TESTS = {
    "orchestrator/adapters/databricks": ("tests/databricks",),
    "orchestrator/adapters/store": ("tests/store",),
    "orchestrator/core": (
        "tests/test_decisions.py",
        "tests/test_durations.py",
        "tests/test_numbers.py",
        "tests/test_outcomes.py",
        "tests/test_pass_budget.py",
        "tests/test_redaction.py",
        "tests/test_refused_jobs.py",
        "tests/test_run_options.py",
        "tests/test_secret_names.py",
        "tests/test_states.py",
        "tests/test_verdicts.py",
        "tests/test_waiting.py",
        "tests/use_cases",
    ),
    "orchestrator/usecases": ("tests/use_cases",),
}

#: Lines that are not mutated: those that go on with a text or a log line, whose words no test repeats.
_TEXTS = (r"_logger\.", r"^\s*f?\"", r"^\s*extra = ")

#: The server keeps each run of the tests in a process of its own: some cannot be run twice in one.
_SETTINGS = """
[tool.mutmut]
source_paths = ["orchestrator"]
only_mutate = {files}
also_copy = {others}
do_not_mutate_patterns = {texts}
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
process_isolation = "forkserver"
"""


def try_files(files: Sequence[Path], *, sample: int) -> int:
    """Let mutmut judge the mutants of Python files and return how many no test noticed.

    mutmut first runs the tests unchanged, and stops if one fails. It changes functions and methods, but
    neither properties nor constants.

    :param sample: one in how many mutants of each function: 1, or 10 for those whose number ends with 1.
    """
    _copy(files)
    names = [".".join(file.with_suffix("").parts) for file in files]
    chosen = "*__mutmut_*" if sample == 1 else "*__mutmut_*1"
    _mutmut("run", "--max-children=1", *(f"{name}.{chosen}" for name in names))
    fates = _fates()
    for name, fate in sorted(fates.items()):
        if fate not in {"killed", "not checked"}:
            say(f"{fate}: {name}")
    counts = Counter(fate for fate in fates.values() if fate != "not checked")
    say("Python: " + ", ".join(f"{count} {fate}" for fate, count in counts.items()))
    say(f"to see one: cd {_FOLDER} && mutmut show NAME")
    return counts["survived"] + counts["no tests"]


def _copy(files: Sequence[Path]) -> None:
    """Copy what git keeps of the project, as it is now, and say there what is to be mutated."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if Path(name).is_file():
            (_FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, _FOLDER / name)
    settings = _SETTINGS.format(
        files=json.dumps([str(file) for file in files]),
        others=json.dumps(sorted(each.name for each in _FOLDER.iterdir() if each.name != "orchestrator")),
        texts=json.dumps(_TEXTS),
        tests=json.dumps(_tests(files)),
    )
    with (_FOLDER / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(settings)


def _tests(files: Sequence[Path]) -> list[str]:
    """Return the tests that are about files; all fast ones for a folder that has none of its own."""
    folders = {str(file.parent) for file in files}
    every = [test for tests in _TESTS.values() for test in tests]
    chosen = [test for folder in folders for test in _TESTS.get(folder, every)]
    return list(dict.fromkeys(chosen))


def _mutmut(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run mutmut in the copy.

    :raises CalledProcessError: a test fails although nothing was changed, or nothing can be mutated.
    """
    command = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", *arguments]
    keeps = arguments[0] == "results"
    return subprocess.run(command, cwd=_FOLDER, check=True, text=True, capture_output=keeps)


def _fates() -> dict[str, str]:
    lines = _mutmut("results", "--all", "True").stdout.splitlines()
    return dict(line.strip().rsplit(": ", 1) for line in lines if ": " in line)
