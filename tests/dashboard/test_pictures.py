"""A picture of each view; on request, the pictures become the README's."""

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.conftest import ROOT
from tests.dashboard.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

#: Set it to anything to keep the pictures for the README: ``DASHBOARD_SCREENSHOTS=1 pytest FILE``.
KEEP = "DASHBOARD_SCREENSHOTS"
IMAGES = ROOT / "docs" / "images"

#: Not the tables whose entries other tests count.
TABLES = ("bookings", "customers", "inventory", "payments", "shipments", "weather")

ENTRY = """INSERT INTO track_processing
    (table_name, status, submission, attempt, runid, created_at, submitted_at, updated_at, finished_at)
    VALUES (?, ?, 1, 1, ?, ?, ?, ?, ?) RETURNING id"""
LOG = """INSERT INTO process_log (entry_id, submission, attempt, runid, status, result_state, message,
    started_at, finished_at, created_at, queue_seconds, setup_seconds, execution_seconds)
    VALUES (?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"""


@pytest.fixture(scope="module")
def yesterday(site: Site) -> None:
    """Entries that ended over the last day, so that the charts have data. They are the same each time."""
    chance = random.Random(7)  # noqa: S311 - not a secret
    for number in reversed(range(240)):
        ended = datetime.now(UTC) - timedelta(minutes=5.5 * (number + 1))
        insert_ended(site, chance, 10**14 + number, ended)


def insert_ended(site: Site, chance: random.Random, run_id: int, ended: datetime) -> None:
    """Insert an entry that has ended, and its log row."""
    failed = chance.random() < 0.07
    status, result = ("CANCELED", "CANCELED") if failed else ("DONE", "SUCCESS")
    queued, ran = chance.expovariate(1 / 6), chance.gauss(260, 60)
    started = ended - timedelta(seconds=ran)
    table = chance.choice(TABLES)
    begin, end = (f"{at:%Y-%m-%d %H:%M:%S}.000" for at in (started, ended))
    ((entry_id,),) = site.stack.write(ENTRY, table, status, run_id, begin, begin, end, end)
    logged = "FAILED" if failed else "DONE"
    site.stack.write(LOG, entry_id, run_id, logged, result, None, begin, end, end, queued, ran)


@pytest.mark.usefixtures("yesterday")
@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [
        ("now", "light", 1280),
        ("now", "dark", 1280),
        ("history", "light", 1280),
        ("entry", "dark", 1280),
        ("now", "light", 360),
    ],
)
async def test_every_view_has_its_picture(
    page: Page, site: Site, name: str, scheme: Literal["light", "dark"], width: int
) -> None:
    views = {"now": "now", "history": "history=24", "entry": f"entry={site.entry('crews')['id']}"}
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 820})
    await page.goto(site.dashboard(views[name]))
    await expect(page.locator("#freshness")).to_contain_text("updated")
    picture = await page.screenshot()
    assert 20_000 < len(picture) < 200_000, "the picture is blank, or too large for a README"
    if KEEP in os.environ:
        size = "phone" if width < 400 else scheme
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"dashboard-{name}-{size}.png").write_bytes(picture)
