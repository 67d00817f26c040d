"""One browser and one stack with entries for all tests of a process; a page for each test."""

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.conftest import Azurite
from tests.dashboard.site import Site, fill, new_site

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: How long a page may take for one step. Most steps take one refresh, which is a second.
STEP_MS = 15_000


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's Chromium. Without one, the tests are skipped."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(
            "there is no Chromium; on Debian: apt-get install chromium, on macOS: brew install chromium"
        )
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A headless browser."""
    expect.set_options(timeout=STEP_MS)
    async with async_playwright() as playwright:
        # Chromium refuses its sandbox to root, as in a container. The pages are our own.
        launched = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """What the pages share. A context for each would take longer than most tests."""
    opened = await browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened.set_default_timeout(STEP_MS)
    await opened.new_page()  # it stays: with no page open, the next one starts as slowly as a browser
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A new page in a browser that keeps nothing of those before it.

    At the end, check that it requested only its own origin and that no script failed.
    """
    opened = await context.new_page()
    errors: list[str] = []
    requested: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if "Content Security" in line.text else None)
    opened.on("request", lambda request: requested.append(request.url))
    yield opened
    origin = opened.url.partition("/api/")[0]
    strangers = [url for url in requested if not url.startswith((f"{origin}/api/", "data:"))]
    await forget(context, opened, origin)
    assert errors == []
    assert strangers == []


async def forget(context: BrowserContext, page: Page, origin: str) -> None:
    """Remove what a page has left in the browser, and close it and every page that it opened."""
    tools = await context.new_cdp_session(page)
    await tools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    await tools.send("Network.clearBrowserCache")
    for each in context.pages[1:]:
        await each.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(
    chromium: str, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A stack with entries. A test that changes entries inserts its own."""
    made = new_site(azurite, tmp_path_factory.mktemp("dashboard"))
    try:
        await fill(made)
        yield made
    finally:
        made.stack.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def empty_site(
    chromium: str, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A stack without entries."""
    made = new_site(azurite, tmp_path_factory.mktemp("dashboard"))
    try:
        made.start_host()
        yield made
    finally:
        made.stack.stop()
