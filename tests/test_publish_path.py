"""docs/deploy.md from its first command to the first entry, as far as it goes without Azure.

One shell runs the page's commands in their order. The app's own are real; so is the package that is
published, on Microsoft's Python packages. Azurite, fakes of Key Vault and of the identity, the Databricks
simulator and SQLite stand in for Azure's services. ``az``, ``func`` and ``databricks`` are stand-ins that
refuse what the real ones would (``tests/azure``).
"""

import json
import re
import shlex
import sqlite3
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack import processes
from orchestrator.bootstrap import Setup
from tests import published
from tests.azure import stand_in, stand_ins
from tests.conftest import ROOT, Azurite
from tests.pages import Block, blocks
from tests.test_documentation import DOCUMENTS
from tests.test_package import core_tools

PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")

#: Ends what a command prints in the shell.
_END = "-- end of the answer:"

#: For an entry's run, and for the passes around it.
_SECONDS = 60.0

#: Nobody waits for a full minute here.
EVERY_SECOND = {"TRIGGER_SCHEDULE": "* * * * * *", "MONITOR_SCHEDULE": "* * * * * *"}

#: Settings that the page gives the app, and that are others here.
REPLACED = {
    *("SQL_CONNECTION_STRING", "AzureWebJobsStorage__accountName", "AzureWebJobsStorage__credential"),
    *("SUBMIT_QUEUE_NAME", "DATABRICKS_HOST", "KEY_VAULT_URL", *EVERY_SECOND),
}


def path() -> list[Block]:
    """Return the blocks of the path, first to last."""
    section = PAGE.partition("\n## With Core Tools, step by step\n")[2].partition("\n## ")[0]
    return list(blocks(section))


class Shell:
    """A shell that keeps its variables from one command to the next."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._errors = (folder / "errors.log").open("w+", encoding="utf-8")
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run a command. Return its exit code and what it prints."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f'{command}\necho "{_END} $?"\n')
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            before, end, code = line.partition(_END)
            printed += before
            if end:
                return int(code), printed
        raise AssertionError(f"the shell has ended at {command}: {self.errors()}")

    def export(self, variables: Mapping[str, str]) -> None:
        """Set variables as a person does."""
        for name, value in variables.items():
            assert self.run(f"export {name}={shlex.quote(value)}")[0] == 0

    def errors(self) -> str:
        """Return what the commands have written to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        """End the shell."""
        self._bash.communicate(timeout=10)
        self._errors.close()


@dataclass
class Walk:
    """The walk along the page: where it is, and what stands in for Azure."""

    folder: Path
    azurite: Azurite
    queue_name: str
    package: Path
    python: str
    running: list[processes.Process] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """The SQLite file in place of Azure SQL."""
        return self.folder / "state.db"

    def start(self) -> Shell:
        """Start the services and the shell, in a checkout in which nothing has been run yet."""
        self.simulator = self._devstack("databricks", "--notebook-root", str(self._notebooks()))
        self.fakes = self._devstack("fakes")
        with urllib.request.urlopen(f"{self.fakes.url}/environment", timeout=10) as answer:
            self.identity: dict[str, str] = json.load(answer)
        checkout = self.folder / "checkout"
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True, timeout=30
        )
        for name in core_tools(listed.stdout.splitlines()):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).symlink_to(ROOT / name)
        programs = stand_ins(self.folder / "bin")
        python = Path(sys.executable).parent
        environment = {
            "PATH": f"{programs}:{python}:/usr/local/bin:/usr/bin:/bin",
            "STAND_IN_FOLDER": str(self.folder),
            "STAND_IN_FAKES": self.fakes.url,
        }
        return Shell(checkout, environment)

    def _devstack(self, part: str, *arguments: str) -> processes.Process:
        command = [sys.executable, "-m", "devstack", part, "--port", "0", *arguments]
        process = processes.start(part, command, log=self.folder / f"{part}.log", cwd=ROOT)
        self.running.append(process)
        return process

    def _notebooks(self) -> Path:
        notebook = self.folder / "notebooks" / "Workspace" / "Shared" / "ingest.py"
        notebook.parent.mkdir(parents=True)
        notebook.write_text("print('loaded')\n", encoding="utf-8")
        return self.folder / "notebooks"

    def services(self) -> dict[str, str]:
        """Return the settings that name Azure's services, with what stands here in their places."""
        return {
            "STATE_DB": str(self.database),
            "AzureWebJobsStorage": self.azurite.connection_string,
            "SUBMIT_QUEUE_NAME": self.queue_name,
            "DATABRICKS_HOST": self.simulator.url,
            **self.identity,
        }

    def publish(self) -> str:
        """Start the package with the settings that the page has given the app. Return its address."""
        given: dict[str, str] = json.loads((self.folder / stand_in.SETTINGS).read_text("utf-8"))
        assert given.keys() >= REPLACED
        kept = {name: value for name, value in given.items() if name not in REPLACED}
        others = published.beside(self.folder / "host", ["croniter", "dateutil"])
        environment = published.environment(self.package, others, ROOT)
        host = processes.start(
            "host",
            [self.python, "-S", "-m", "devstack", "host", "--app", str(self.package), "--port", "0"],
            log=self.folder / "host.log",
            cwd=self.package,
            env={**environment, **kept, **EVERY_SECOND, **self.services()},
        )
        self.running.append(host)
        return host.url

    def wait_until_done(self) -> None:
        """Return once the first entry is DONE."""
        end = time.monotonic() + _SECONDS
        status = ""
        while status != "DONE":
            assert time.monotonic() < end, (
                f"{status}: {(self.folder / 'host.log').read_text('utf-8')[-2000:]}"
            )
            time.sleep(0.2)
            with closing(sqlite3.connect(self.database, timeout=30)) as connection:
                [(status,)] = connection.execute("SELECT status FROM track_processing").fetchall()

    def stop(self) -> None:
        """Stop what has been started, the last one first."""
        for process in reversed(self.running):
            process.stop()


@contextmanager
def walking(walk: Walk) -> Iterator[Shell]:
    """Start a walk, and clear up behind it."""
    try:
        shell = walk.start()
        try:
            yield shell
        finally:
            shell.close()
    finally:
        walk.stop()


def expected(answer: str, names: Mapping[str, str]) -> str:
    """Return a pattern for an answer: ``…`` is anything in a line, and any lines where it has its own.

    :param names: what the page writes, and what it is here.
    """
    for name, here in names.items():
        answer = answer.replace(name, here)
    lines = (
        "(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n"
        for line in answer.strip().splitlines()
    )
    return "".join(lines)


def prepare_python(shell: Shell) -> None:
    """Let the environment of the page have the packages of this one: a test of its own installs them."""
    packages = shlex.quote(sysconfig.get_paths()["purelib"])
    shell.run(
        'python3() { command python3 "$@" --without-pip; }\n'
        'pip() { [ "$*" = "install --quiet --requirement requirements.txt" ] && [ -e "$4" ] && '
        f'echo {packages} > "$(echo .venv/lib/python3.*/site-packages)/app.pth"; }}'
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_path_leads_to_the_first_entry(
    tmp_path: Path, package: Path, azurite: Azurite, queue_name: str
) -> None:
    python = published.python_312()
    if python is None:
        pytest.skip("the package is built for Python 3.12, and there is none here to start it with")
    walk = Walk(folder=tmp_path, azurite=azurite, queue_name=queue_name, package=package, python=python)
    with walking(walk) as shell:
        prepare_python(shell)
        names = {
            "https://adb-1234567890123456.7.azuredatabricks.net": walk.simulator.url,
            "submit-jobs": queue_name,
            "238414215025301": "…",
        }
        tried = [command for block in path() for command in run_block(walk, shell, block, names)]
    assert tried == ["--version", "init-db", "create-job", "check", "check", "add", "show"]


def run_block(walk: Walk, shell: Shell, block: Block, names: Mapping[str, str]) -> Iterator[str]:
    """Run a block's commands, compare the answers, and yield which of the app's commands were among them."""
    for command, answer in block.session:
        if "orchestrator show" in command:
            walk.wait_until_done()
        code, printed = shell.run(command)
        if "orchestrator grant" in command:  # nobody grants rights in SQLite
            assert "a SQLite file has no users: set SQL_CONNECTION_STRING" in shell.errors()
            continue
        assert code == 0, (command, printed, shell.errors())
        if not block.needs_azure:
            assert re.fullmatch(expected(answer, names), printed), (command, printed)
            yield from re.findall(r"python -m orchestrator (\S+)", command)
    if block.heading.startswith("6. "):
        shell.export(walk.services())
        shell.run("unset SQL_CONNECTION_STRING AzureWebJobsStorage__accountName")
    elif block.heading.startswith("13. ") and block.needs_azure:
        shell.export({"APP_URL": walk.publish()})


@pytest.mark.parametrize(
    "block", [each for each in path() if each.needs_azure], ids=lambda each: each.heading
)
def test_each_command_has_its_answer(block: Block) -> None:
    """One that says nothing leaves something behind: a variable, a file, a setting, a role."""
    silent = r"--output none|^\w+=\$\(|^export |^umask |^rm | > "
    assert [
        command for command, answer in block.session if not answer.strip() and not re.search(silent, command)
    ] == []


GRANTS = [
    (command, answer)
    for document in DOCUMENTS
    for block in blocks(document.read_text(encoding="utf-8"))
    for command, answer in block.session
    if "orchestrator grant" in command
]


@pytest.mark.parametrize(("command", "answer"), GRANTS, ids=lambda text: text.split("\n")[0])
def test_what_is_granted_is_what_the_app_looks_for(command: str, answer: str) -> None:
    """Only a SQL Server has users: the store's tests grant the rights there."""
    query = Setup.queries().partition("probe_rights")[2].partition("ORDER BY")[0]
    rights: dict[str, list[str]] = {}
    for table, right in sorted(re.findall(r"\(N'(\w+)', N'(\w+)'\)", query)):
        rights.setdefault(table, []).append(right)
    name = re.findall(r"\[([\w-]+)\]", answer)[0]
    statements = [f"GRANT {', '.join(each)} ON {table} TO [{name}]\n" for table, each in rights.items()]
    user = f"CREATE USER [{name}] WITH SID = 0x8C9D3B1D00000040800000000000000A, TYPE = E\n"
    assert len(statements) > 5
    assert re.fullmatch(expected(answer, {}), "".join([user, *statements]))
