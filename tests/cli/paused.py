"""The command line before a database that is paused: ``python -m tests.cli.paused COMMAND``.

It takes connections after ``REFUSALS`` tries, as a serverless database does once it has resumed.
"""

import os
import sys
from pathlib import Path

from orchestrator import bootstrap
from orchestrator.adapters.store.connector import Connector, Opened
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.cli.main import main
from orchestrator.core.errors import StoreUnavailable
from orchestrator.settings.store import StoreSettings

PAUSED = "SQL Server: the database is paused and resumes (40613)"


class PausedConnector(SqliteConnector):
    """A real store behind a database that refuses so many connections at first."""

    def __init__(self, path: Path, refusals: int) -> None:
        super().__init__(path)
        self.refusals = refusals

    def connect(self) -> Opened:
        """Open a connection, or refuse it."""
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable(PAUSED)
        return super().connect()


def _connector(settings: StoreSettings, **_: object) -> Connector:
    assert settings.state_db is not None
    return PausedConnector(settings.state_db, int(os.environ["REFUSALS"]))


if __name__ == "__main__":
    bootstrap.connector = _connector
    sys.exit(main(sys.argv[1:]))
