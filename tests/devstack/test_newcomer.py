"""What README tells a newcomer to type beside ``make run``, typed, and what it says is printed."""

import re
import subprocess
import time

import pytest

from tests.conftest import ROOT
from tests.devstack.proctable import LINUX_ONLY
from tests.devstack.running import MadeRun
from tests.pages import blocks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), LINUX_ONLY]

README = (ROOT / "README.md").read_text(encoding="utf-8")

#: What is another at each run, wherever it stands in what is printed.
_NUMBER = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d+")

#: How long an entry may take on a busy machine.
ENTRY_SECONDS = 60.0


def section(title: str) -> str:
    """The part of README under a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def shell(made: MadeRun, script: str) -> str:
    """Run a script as somebody in the checkout would; return what a terminal shows."""
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=made.checkout,
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (script, done.stdout)
    return done.stdout


def steps(session: str) -> list[tuple[str, str]]:
    """The commands of a session, each with what is printed."""
    parts = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def form(printed: str) -> list[str]:
    """What is printed without what is another each time."""
    return [_NUMBER.sub("N", line.rstrip()) for line in printed.splitlines()]


def test_your_own_notebook(make_run: MadeRun) -> None:
    file, session = blocks(section("Your own notebook"))
    shell(make_run, file.text)
    (activate, nothing), *commands = steps(session.text)
    assert nothing == ""
    for command, printed in commands:
        deadline = time.monotonic() + ENTRY_SECONDS
        seen = shell(make_run, f"{activate}\n{command}")
        while form(seen) != form(printed) and "DONE" in printed and time.monotonic() < deadline:
            time.sleep(0.5)  # the app works in processes of its own
            seen = shell(make_run, f"{activate}\n{command}")
        assert form(seen) == form(printed)


def test_make_run_prints_what_readme_says(make_run: MadeRun) -> None:
    """Each line of README's example is one of the run's, but for what is left out."""
    (example,) = (block for block in blocks(section("Ten minutes to the dashboard")) if not block.language)
    printed = form("".join(make_run.printed))
    for line in form(example.text):
        beginning = line.partition("…")[0]
        assert any(each.startswith(beginning) for each in printed), line
