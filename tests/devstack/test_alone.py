"""Parts that are started by hand, in a checkout after its set-up, with nothing else in the environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import processes
from tests.conftest import ROOT, Azurite

SETTINGS = "local.settings.json"


def make_settings(folder: Path) -> str:
    """Run make as a person does, also when make runs these tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", SETTINGS],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A checkout with the settings that the set-up makes."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("devstack", "orchestrator", "function_app.py", "host.json"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("Makefile", "local.settings.sample.json"):
        shutil.copyfile(ROOT / name, folder / name)
    assert make_settings(folder) == "setup: local.settings.json, a copy of local.settings.sample.json\n"
    return folder


@pytest.fixture
def databricks(tmp_path: Path) -> Iterator[processes.Process]:
    argv = [sys.executable, "-m", "devstack", "databricks", "--port", "0"]
    process = processes.start("databricks", argv, log=tmp_path / "databricks.log", cwd=ROOT)
    yield process
    process.stop()


def test_the_set_up_leaves_a_users_settings_alone(app: Path) -> None:
    (app / SETTINGS).write_text("mine", encoding="utf-8")
    os.utime(app / "local.settings.sample.json")
    make_settings(app)
    assert (app / SETTINGS).read_text(encoding="utf-8") == "mine"


@pytest.mark.e2e
def test_the_host_needs_no_more_than_host_and_token(
    app: Path, databricks: processes.Process, azurite: Azurite, queue_name: str
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABRICKS_HOST": databricks.url,
        "DATABRICKS_TOKEN": "any",
        # Only because the tests' Azurite is not on its default ports, and is not theirs alone.
        "AzureWebJobsStorage": azurite.connection_string,
        "SUBMIT_QUEUE_NAME": queue_name,
    }

    def orchestrator(*argv: str) -> str:
        command = [sys.executable, "-m", "orchestrator", *argv]
        done = subprocess.run(
            command, cwd=app, env=environment, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    orchestrator("init-db")
    orchestrator("add", "sales")
    with subprocess.Popen(
        [sys.executable, "-m", "devstack", "host", "--port", "0"],
        cwd=app,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        try:
            lines = iter(host.stdout)
            assert any(line.startswith("ready host ") for line in lines)
            orchestrator("pass", "trigger")
            assert any("Executed 'Functions.submit' (Succeeded" in line for line in lines)
        finally:
            host.terminate()
        assert host.wait(20) == 0
    assert "\tsales\tRUNNING\t" in orchestrator("list")
