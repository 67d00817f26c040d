"""An app that nobody uses lets its connections to the database go: only then does a serverless one pause."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.bootstrap import Application
from orchestrator.core.models import NewEntry
from orchestrator.web.api import Api
from orchestrator.web.http import Request
from tests.applications import idle_workspace, served_application
from tests.store.helpers import entry_of

#: Far longer than the app keeps an idle connection here.
SOON_SECONDS = 20

OPEN_FILES = Path("/proc/self/fd")

pytestmark = pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system does not list open files")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with served_application(tmp_path, idle_workspace, SQL_IDLE_SECONDS="1") as made:
        yield made


def connections(folder: Path) -> int:
    """Return how many connections to the database this process holds open: each opens its file once."""
    found = 0
    for each in OPEN_FILES.iterdir():
        try:
            found += each.readlink() == folder / "state.db"
        except OSError:  # closed meanwhile
            continue
    return found


async def work(app: Application) -> None:
    """Use every pool of connections: passes, an operator, the dashboard and a watchdog."""
    assert await app.monitor() == []
    [entry_id] = await app.operator.add([NewEntry(table_name="sales")])
    assert (await entry_of(app.store, entry_id)).table_name == "sales"
    api = Api(lambda: app)
    assert (await api.status(Request(method="GET"))).status == 200
    assert (await api.health(Request(method="GET"))).status == 503  # the trigger has never begun
    assert await app.monitor() == []


async def test_idle_connections_are_closed_and_opened_again(app: Application, tmp_path: Path) -> None:
    for _ in range(2):
        await work(app)
        assert connections(tmp_path) >= 3, "one of each pool"
        async with asyncio.timeout(SOON_SECONDS):
            while connections(tmp_path):  # noqa: ASYNC110 - closing a file sends no signal
                await asyncio.sleep(0.05)
