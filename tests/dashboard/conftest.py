"""One browser and one stack with entries for all tests of a process; a page for each test."""

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

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


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A new page. At the end, check that it requested only its own origin and that no script failed."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = await context.new_page()
    opened.set_default_timeout(STEP_MS)
    errors: list[str] = []
    requested: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if "Content Security" in line.text else None)
    opened.on("request", lambda request: requested.append(request.url))
    yield opened
    origin = opened.url.partition("/api/")[0]
    strangers = [url for url in requested if not url.startswith((f"{origin}/api/", "data:"))]
    await context.close()
    assert errors == []
    assert strangers == []


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
