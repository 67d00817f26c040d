"""The hook that azd runs after it has made the resources: a process of its own, with azd's outputs."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.infra import bicep
from tests.store import odbc

HOOK = bicep.INFRA / "postprovision.py"

#: Stands for the environment that the hook makes: it installs nothing, and runs this checkout's command line.
PYTHON = """#!/bin/sh
[ "$2" = pip ] && exit 0
echo "$@" >> "{calls}"
echo "$AZURE_TOKEN_CREDENTIALS" >> "{calls}.signin"
exec {python} "$@"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the hook, the app, and packages that are there already."""
    (tmp_path / "infra").mkdir()
    shutil.copy(HOOK, tmp_path / "infra")
    (tmp_path / "orchestrator").symlink_to(ROOT / "orchestrator")
    (tmp_path / "local.settings.json").write_text('{"Values": {"STATE_DB": "of-local-work.db"}}')
    python = tmp_path / ".venv-azd" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(calls=tmp_path / "calls", python=sys.executable))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (tmp_path / ".venv-azd" / "complete").touch()
    return tmp_path


def run(checkout: Path, **outputs: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "infra/postprovision.py"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **outputs},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_the_schema_is_made_before_the_rights_are_given(checkout: Path) -> None:
    names = {"APP_IDENTITY_NAME": "id-1", "APP_IDENTITY_CLIENT_ID": "1d3b9d8c-0000-4000-8000-00000000000a"}
    done = run(checkout, STATE_DB=str(checkout / "state.db"), **names)
    calls = (checkout / "calls").read_text().splitlines()
    assert calls == [
        "-m orchestrator init-db",
        f"-m orchestrator grant id-1 --client-id {names['APP_IDENTITY_CLIENT_ID']}",
    ]
    assert set((checkout / "calls.signin").read_text().split()) == {"AzureDeveloperCliCredential"}
    assert "the schema is at version" in done.stdout
    assert not list(checkout.glob("**/of-local-work.db"))
    # A SQLite file has no users: the hook ends with the command's exit code and says what to do.
    assert done.returncode == 1
    assert "a SQLite file has no users" in done.stderr
    assert "azd hooks run postprovision" in done.stderr


def test_packages_that_cannot_be_installed_are_said_and_made_anew(checkout: Path) -> None:
    python = checkout / ".venv-azd" / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    done = run(checkout)
    assert done.returncode == 1
    assert "azd hooks run postprovision" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv-azd" / "complete").exists(), "the next run makes it anew"


@pytest.mark.slow
def test_no_rights_are_given_without_the_tables(checkout: Path) -> None:
    names = {"APP_IDENTITY_NAME": "id-1", "APP_IDENTITY_CLIENT_ID": "1d3b9d8c-0000-4000-8000-00000000000a"}
    done = run(
        checkout, SQL_CONNECTION_STRING=f"SERVER={odbc.HOST};DATABASE=d;DRIVER=/none;UID=u;PWD=p", **names
    )
    assert done.returncode == 1
    assert (checkout / "calls").read_text().splitlines() == ["-m orchestrator init-db"]
    assert "azd env set CLIENT_IP_ADDRESS" in done.stderr


def test_azd_gives_the_hook_what_it_reads() -> None:
    hooks = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["hooks"]["postprovision"]
    assert hooks["posix"]["run"].split() == ["python3", "infra/postprovision.py"]
    assert hooks["windows"]["run"].split() == ["python", "infra/postprovision.py"]
    outputs = bicep.outputs(bicep.INFRA / "main.bicep")
    assert {"APP_IDENTITY_NAME", "APP_IDENTITY_CLIENT_ID", "SQL_CONNECTION_STRING"} <= outputs
    assert "AZURE_CLIENT_ID" not in outputs, "the hook would sign in as another identity"
