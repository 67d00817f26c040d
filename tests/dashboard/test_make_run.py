"""As a newcomer would: ``make run``, then the dashboard alone. Why did a table fail, and run it again."""

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.devstack.proctable import LINUX_ONLY
from tests.devstack.running import addresses, start_run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="session"),
    LINUX_ONLY,
]


async def test_why_a_table_failed_and_run_it_again(page: Page, tmp_path: Path) -> None:
    run = start_run(tmp_path)
    try:
        assert run.stdout is not None
        [dashboard] = (await asyncio.to_thread(addresses, run.stdout))["Dashboard"]
        await page.goto(f"{dashboard}?refresh=1")
        await find_out_why(page, "crews")
        await run_again(page)
    finally:
        await asyncio.to_thread(stop, run)


async def find_out_why(page: Page, table: str) -> None:
    """Search the table, open its story, read the error."""
    await page.get_by_role("searchbox").fill(table)
    await page.keyboard.press("Enter")
    await page.get_by_role("table", name="Found").get_by_role("link", name="#").first.click()
    await expect(page.get_by_text("there is no table 'crews'").first).to_be_visible()
    await expect(page.get_by_text("Submission 3, attempt 3")).to_be_visible()


async def run_again(page: Page) -> None:
    """Retry the row that is open, and see its next run end."""
    retry = page.get_by_role("button", name="Retry entry")
    await retry.click()
    await page.get_by_role("dialog").get_by_role("button", name="Retry entry").click()
    await expect(page.get_by_text("Submission 4, attempt 1")).to_be_visible(timeout=60_000)


def stop(run: subprocess.Popen[str]) -> None:
    """End it as Ctrl-C does, and everything that it started with it."""
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (0, "")
