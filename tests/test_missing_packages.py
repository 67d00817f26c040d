"""An app says whether its packages, the ODBC driver manager or a driver is what is missing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.store import odbc

#: What the Functions worker brings along itself.
OF_THE_WORKER = ("azure.functions", "werkzeug", "markupsafe")

SETTINGS = {
    "DATABRICKS_HOST": "https://adb-1.7.azuredatabricks.net",
    "DATABRICKS_TOKEN": "t",
    "AzureWebJobsStorage__accountName": "acme",
}
SQL = {"SQL_CONNECTION_STRING": "SERVER=acme.database.windows.net"}
SQLITE = {"STATE_DB": "state.db"}

REMEDY = "publish with a remote build, which installs requirements.txt"

#: Calls a function of the app as the worker does, which has indexed it before.
INVOKE = """
import asyncio, types
import azure.functions as func
import function_app

try:
    trigger = function_app.trigger._function.get_user_function()
    asyncio.run(trigger(types.SimpleNamespace(past_due=False)))
except Exception as error:
    print(error)
"""

#: Asks the API, as the host does.
ASK = """
import asyncio
from orchestrator.web.http import Request
from orchestrator.web.routes import ROUTES, Server

route = next(each for each in ROUTES if each.path == "health")
response = asyncio.run(Server().serve(route, Request(method="GET")))
print(response.status.value, response.content_type, response.content)
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the packages of the worker and none of the app's."""
    for name in OF_THE_WORKER:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            link = tmp_path / name.replace(".", "/")
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path(spec.origin).parent)
    return tmp_path


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python without the packages that are installed, and with those of a folder."""
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}", **SETTINGS, **environ},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize(("store", "package"), [(SQL, "pyodbc"), (SQLITE, "aiohttp")])
def test_an_invocation_says_that_the_packages_are_not_there(
    bare: Path, store: dict[str, str], package: str
) -> None:
    done = run(bare, "-c", INVOKE, **store)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"the Python package {package} is not there: {REMEDY}")
    assert "driver manager" not in done.stdout


@pytest.mark.parametrize("store", [SQL, SQLITE])
def test_the_api_says_it(bare: Path, store: dict[str, str]) -> None:
    done = run(bare, "-c", ASK, **store)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("503 application/problem+json ")
    assert f"the Python package msgspec is not there: {REMEDY}" in done.stdout


def test_the_command_line_says_it(bare: Path) -> None:
    done = run(bare, "-m", "orchestrator", "check", **SQL)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the Python package click is not there: ")
    assert done.stderr.endswith("or, on a machine: pip install -r requirements.txt\n")


@pytest.mark.parametrize(
    ("module", "text", "words"),
    [
        (
            "pyodbc.py",
            "raise ImportError('libodbc.so.2: cannot open shared object file: No such file or directory')",
            "install the ODBC driver manager (Debian and Ubuntu: apt-get install libodbc2",
        ),
        (
            f"pyodbc.cpython-{sys.version_info.major}{sys.version_info.minor}-x86_64-linux-gnu.so",
            "of another system",
            "it was built for another system or another Python: publish with a remote build",
        ),
    ],
)
def test_pyodbc_that_cannot_be_loaded(bare: Path, module: str, text: str, words: str) -> None:
    (bare / module).write_text(text)
    done = run(bare, "-c", INVOKE, **SQL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pyodbc cannot be loaded (")
    assert words in done.stdout
    assert "is not there" not in done.stdout


#: Opens a connection, as the store does, and prints what is wrong.
CONNECT = """
import sys
from orchestrator.adapters.store.sqlserver import SqlServerConnector
try:
    SqlServerConnector(sys.argv[1], login_timeout_seconds=1).connect()
except Exception as error:
    print(error)
"""


def connect(folder: Path, connection_string: str, path: str) -> str:
    """Connect where no driver is installed: the driver manager reads its settings once a process."""
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, connection_string],
        cwd=folder,
        env={"PYTHONPATH": path, "ODBCSYSINI": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_driver_the_package_that_has_one_is_named(tmp_path: Path) -> None:
    missing = "no ODBC driver for SQL Server is installed: install Microsoft's ODBC Driver 18"
    with odbc.silent_port() as port:
        server = f"SERVER={odbc.HOST},{port};UID=u;PWD={odbc.PASSWORD}"
        said = connect(tmp_path, server, str(ROOT))
        assert said.startswith(missing)
        assert f"or add DRIVER={odbc.driver()} to SQL_CONNECTION_STRING" in said
        followed = connect(tmp_path, f"DRIVER={odbc.driver()};{server}", str(ROOT))
        assert "HYT00" in followed, "the driver waited for the server"
        (tmp_path / "mssql_python_odbc.py").touch()  # in place of the package
        said = connect(tmp_path, server, f"{tmp_path}:{ROOT}")
    assert said.startswith(missing)
    assert "or add the package mssql-python-odbc to requirements.txt" in said
