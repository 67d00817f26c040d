"""The app wired as in production, with one entry whose parameters are secret."""

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator import settings
from orchestrator.bootstrap import Application
from orchestrator.core.models import NewEntry
from tests.conftest import Azurite
from tests.databricks.support import Workspace
from tests.empty_store import make_empty_store
from tests.security.canary import PARAMETERS, TOKEN, Evidence

JOB_ID = "7"

#: The entry that the tests insert.
ROW = NewEntry(table_name="sales", parameters=json.dumps(PARAMETERS))


@dataclass(frozen=True, kw_only=True)
class Running:
    """An app, and the evidence that collects its texts."""

    app: Application
    database: Path
    azurite: Azurite
    queue_name: str
    evidence: Evidence

    async def attempt(self, work: Awaitable[object]) -> BaseException | None:
        """Do something that may fail, and keep the texts of its error."""
        try:
            result = await work
        except Exception as error:  # noqa: BLE001 - whatever the error, it must not show a secret
            self.evidence.error(error)
            return error
        self.evidence.add("result", result)
        return None

    async def submit_all(self) -> list[BaseException | None]:
        """Submit every message of the queue, as the host does."""
        messages = self.evidence.queue(self.azurite.connection_string, self.queue_name)
        return [await self.attempt(self.app.submit(message.encode())) for message in messages]

    def look_everywhere(self) -> None:
        """Keep what is in the database and on the queue."""
        self.evidence.database(self.database)
        self.evidence.queue(self.azurite.connection_string, self.queue_name)


class Apps:
    """Makes apps on an empty state store."""

    def __init__(self, folder: Path, azurite: Azurite, queue_name: str, evidence: Evidence) -> None:
        self._folder = folder
        self._azurite = azurite
        self._queue_name = queue_name
        self._evidence = evidence

    @asynccontextmanager
    async def app(self, workspace: Workspace, **changes: str) -> AsyncIterator[Running]:
        """Run an app that calls a workspace, by default with a static token."""
        database = make_empty_store(self._folder / "state.db")
        environment = {
            "AzureWebJobsStorage": self._azurite.connection_string,
            "SUBMIT_QUEUE_NAME": self._queue_name,
            "STATE_DB": str(database),
            "DATABRICKS_HOST": workspace.url.rstrip("/"),
            "DATABRICKS_JOB_ID": JOB_ID,
            **({} if "DATABRICKS_AUTH" in changes else {"DATABRICKS_TOKEN": TOKEN}),
            **changes,
        }
        made = Application(settings.load(environment))
        self._evidence.add("settings", repr(made.settings))
        try:
            yield Running(
                app=made,
                database=database,
                azurite=self._azurite,
                queue_name=self._queue_name,
                evidence=self._evidence,
            )
        finally:
            await made.close()
