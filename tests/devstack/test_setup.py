"""``make setup`` says what it does, a line a step, and shows all of what a step says when it fails."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_DONE = re.compile(r"setup: (.+) \.\.\. done in \d+ s")


def set_up(folder: Path, part: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder that has the files of its packages."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
    return subprocess.run(
        ["bash", "scripts/setup.sh", part],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def steps(printed: str) -> list[str]:
    """What each line says was done."""
    lines = printed.splitlines()
    found = [match[1] for line in lines if (match := _DONE.fullmatch(line))]
    assert len(found) == len(lines), printed
    return found


@pytest.mark.slow
def test_a_line_a_step(tmp_path: Path) -> None:
    (tmp_path / "requirements-dev.txt").write_text("pip\n", encoding="utf-8")  # every environment has it
    done = set_up(tmp_path, "venv")
    assert (done.returncode, done.stderr) == (0, "")
    assert [words.split(",")[0] for words in steps(done.stdout)] == [
        f".venv with Python {sys.version.split()[0]}",
        "Python packages",
    ]


@pytest.mark.slow
def test_a_failure_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / "requirements-dev.txt").write_text("./missing\n", encoding="utf-8")
    done = set_up(tmp_path, "venv")
    assert done.returncode != 0
    assert done.stdout.endswith("... failed\n")
    assert "Invalid requirement: './missing'" in done.stderr
    assert "does it exist?" in done.stderr.lower() or "does not exist" in done.stderr.lower()


@pytest.mark.slow
def test_node_packages(tmp_path: Path) -> None:
    name = {"name": "a", "version": "1.0.0"}
    (tmp_path / "package.json").write_text(json.dumps(name), encoding="utf-8")
    lock = json.dumps({**name, "lockfileVersion": 3, "packages": {"": name}})
    (tmp_path / "package-lock.json").write_text(lock, encoding="utf-8")
    done = set_up(tmp_path, "node")
    assert (done.returncode, done.stderr) == (0, "")
    assert steps(done.stdout) == ["Node packages"]
