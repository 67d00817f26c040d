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

#: Nobody listens there.
CLOSED_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;QueueEndpoint=http://127.0.0.1:9/a"
)

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


@pytest.mark.parametrize("store", [SQL, SQLITE])
def test_an_invocation_says_that_the_packages_are_not_there(bare: Path, store: dict[str, str]) -> None:
    done = run(bare, "-c", INVOKE, **store)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"the Python package aiohttp is not there: {REMEDY}")
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


#: What pyodbc is instead of the package, and what is said then.
UNUSABLE_PYODBC = [
    pytest.param(
        "pyodbc.py",
        "raise ImportError('libodbc.so.2: cannot open shared object file: No such file or directory')",
        ("pyodbc cannot be loaded (libodbc", "install the ODBC driver manager (Debian and Ubuntu: apt-get"),
        id="no driver manager",
    ),
    pytest.param(
        f"pyodbc.cpython-{sys.version_info.major}{sys.version_info.minor}-x86_64-linux-gnu.so",
        "of another system",
        ("pyodbc cannot be loaded (", "it was built for another system or another Python: publish with"),
        id="another system's",
    ),
    pytest.param(
        "pyodbc.py",
        "raise ModuleNotFoundError('No module named pyodbc', name='pyodbc')",
        ("the Python package pyodbc is not there: ", REMEDY),
        id="not there",
    ),
]


def run_beside(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages that are installed, and before them those of a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}", **environ},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize(("module", "text", "words"), UNUSABLE_PYODBC)
def test_an_invocation_says_why_pyodbc_cannot_be_used(
    tmp_path: Path, module: str, text: str, words: tuple[str, str]
) -> None:
    (tmp_path / module).write_text(text)
    done = run_beside(tmp_path, "-c", INVOKE, **SETTINGS, **SQL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(words[0])
    assert words[1] in done.stdout


@pytest.mark.parametrize(("module", "text", "words"), UNUSABLE_PYODBC)
def test_check_says_it_beside_everything_else(
    tmp_path: Path, module: str, text: str, words: tuple[str, str]
) -> None:
    (tmp_path / module).write_text(text)
    with odbc.silent_port() as port:
        settings = {
            **SETTINGS,
            "SQL_CONNECTION_STRING": f"SERVER={odbc.HOST},{port};UID=u;PWD=p",
            "AzureWebJobsStorage": CLOSED_STORAGE,
            "DATABRICKS_HOST": "http://127.0.0.1:9",
        }
        done = run_beside(tmp_path, "-m", "orchestrator", "check", **settings)
    assert done.returncode == 1, done.stderr
    assert f"FAIL  store: {words[0]}" in done.stdout
    assert words[1] in done.stdout
    assert "FAIL  queue: " in done.stdout, "the queue is tested all the same"
    assert "FAIL  workspace default, Databricks: " in done.stdout, "and the workspace"


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
