"""The command line as a person uses it: a process of its own, its output and its exit code."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.adapters.store import migrate
from tests.cli.forks import SECONDS, forks
from tests.conftest import ROOT

TOKEN = "local-canary"

#: Of every row; only shown when it is asked for.
PARAMETERS = '{"secret": "s3cr3t"}'

#: What ``init-db`` says at its end.
AT_LATEST = f"the schema is at version {len(migrate.available('sqlite'))}\n"


@dataclass
class CommandLine:
    """Runs commands with one environment."""

    folder: Path
    environment: dict[str, str]

    def __call__(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a process that has not to load it (:mod:`tests.cli.forks`)."""
        return forks().run(
            arguments, folder=self.folder, environment=self.whole_environment(**environment), stdin=stdin
        )

    def from_shell(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a shell does, from the start of the interpreter."""
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.folder,
            env=self.whole_environment(**environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and return its document."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def whole_environment(self, **environment: str) -> dict[str, str]:
        """Return what a command's process gets."""
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.environment, **environment}

    def execute(self, sql: str, *values: object) -> None:
        """Change the store, as somebody else would."""
        connection = sqlite3.connect(self.folder / "state.db")
        try:
            with connection:
                connection.execute(sql, values)
        finally:
            connection.close()

    def query(self, sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.folder / "state.db")
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
