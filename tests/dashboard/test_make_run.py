"""What a newcomer does after ``make run``: find out in the dashboard why a table failed, and run it again."""

import pytest
from playwright.async_api import Page, expect

from tests.devstack.proctable import LINUX_ONLY
from tests.devstack.running import MadeRun

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="session"),
    LINUX_ONLY,
]


async def test_why_a_table_failed_and_run_it_again(page: Page, make_run: MadeRun) -> None:
    [dashboard] = make_run.addresses["Dashboard"]
    await page.goto(f"{dashboard}?refresh=1")
    await find_out_why(page, "crews")
    await run_again(page)


async def find_out_why(page: Page, table: str) -> None:
    """Search for the table, open the entry and read the error."""
    await page.get_by_role("searchbox").fill(table)
    await page.keyboard.press("Enter")
    await page.get_by_role("table", name="Found").get_by_role("link", name="#").first.click()
    await expect(page.get_by_text("there is no table 'crews'").first).to_be_visible()
    await expect(page.get_by_text("Submission 3, attempt 3")).to_be_visible()


async def run_again(page: Page) -> None:
    """Retry the open entry, and see its next run end."""
    retry = page.get_by_role("button", name="Retry entry")
    await retry.click()
    await page.get_by_role("dialog").get_by_role("button", name="Retry entry").click()
    runs = page.get_by_role("region", name="Runs").get_by_role("listitem")
    await expect(runs.filter(has_text="Submission 4, attempt 1FAILED")).to_be_visible(timeout=60_000)
