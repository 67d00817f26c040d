"""The page without entries, API or key, on a phone, in the dark, and hidden."""

import asyncio
import re

import pytest
from playwright.async_api import Page, Request, expect

from tests.dashboard.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

VIEWS = ("now", "history=24", "search=", "entry=1")


async def test_no_entries_and_then_no_api_and_recovery(page: Page, empty_site: Site) -> None:
    await page.goto(empty_site.dashboard())
    await expect(page.get_by_text("To start a run, insert a row")).to_be_visible()
    await expect(page.get_by_text("Nothing failed.")).to_be_visible()
    for view, words in [("history=24", "No run has ended"), ("search=", "Nothing found.")]:
        await page.goto(empty_site.dashboard(view))
        await expect(page.get_by_role("main")).to_contain_text(words)
    await page.goto(empty_site.dashboard())
    await expect(page.get_by_role("main")).to_contain_text("Healthy")

    empty_site.stop_host()
    trouble = page.get_by_role("alert")
    await expect(trouble).to_contain_text("The API cannot be reached")
    await expect(trouble).to_contain_text("This was the state at")
    await expect(page.get_by_role("main")).to_contain_text("Unknown")
    await expect(page.get_by_role("main")).not_to_contain_text("Healthy")
    await expect(trouble).to_contain_text(re.compile(r"Next try within [248]"))

    empty_site.start_host()
    await trouble.get_by_role("button", name="Try now").click()
    await expect(trouble).to_be_hidden()
    await expect(page.locator("#freshness")).to_contain_text("updated")
    await expect(page.get_by_role("main")).to_contain_text("Healthy")


async def test_the_key_goes_into_a_header_and_nowhere_else(page: Page, site: Site) -> None:
    calls: list[Request] = []
    page.on("request", lambda request: calls.append(request) if request.resource_type == "fetch" else None)
    await page.goto(site.dashboard(key="k-123"))
    await expect(page.get_by_text("Is it healthy?")).to_be_visible()
    assert calls
    for call in calls:
        assert (await call.all_headers())["x-functions-key"] == "k-123"
        assert "k-123" not in call.url
        assert "referer" not in await call.all_headers()
    assert "k-123" not in await page.content()
    kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "k-123" not in kept


async def test_a_key_that_is_refused(page: Page, site: Site) -> None:
    # The local host accepts every request, so the test answers as Azure does.
    await page.route("**/api/status", lambda route: route.fulfill(status=401, body=""))
    await page.goto(site.dashboard())
    await expect(page.get_by_role("alert")).to_contain_text("Open this page with ?code=")


async def test_a_hidden_page_requests_nothing(page: Page, site: Site) -> None:
    await page.goto(site.dashboard())
    await expect(page.get_by_text("Is it healthy?")).to_be_visible()
    await set_hidden(page, hidden=True)
    await page.wait_for_load_state("networkidle")
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    await asyncio.sleep(2.5)  # two refreshes: there is no signal for what does not happen
    assert calls == []
    async with page.expect_request("**/api/status"):
        await set_hidden(page, hidden=False)


async def set_hidden(page: Page, *, hidden: bool) -> None:
    await page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def test_the_focus_stays_through_a_refresh(page: Page, site: Site) -> None:
    await page.goto(site.dashboard("search="))
    await page.get_by_role("combobox", name="State").focus()
    shown = page.get_by_role("table", name="Found")
    before = await shown.element_handle()
    assert before is not None
    (fresh,) = site.insert("focus_later", at="2099-01-01 00:00:00")
    await expect(shown).to_contain_text("focus_later")
    assert not await before.evaluate("(table) => table.isConnected"), "the table was rebuilt"
    await expect(page.get_by_role("combobox", name="State")).to_be_focused()
    site.stack.execute("DELETE FROM track_processing WHERE id = ?", [(fresh,)])


@pytest.mark.parametrize("view", VIEWS)
async def test_a_phone_needs_no_sideways_scroll(page: Page, site: Site, view: str) -> None:
    await page.set_viewport_size({"width": 360, "height": 780})
    await page.goto(site.dashboard(view))
    await expect(page.locator("#freshness")).to_contain_text("updated")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_dark_and_light(page: Page, site: Site) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    await page.goto(site.dashboard())
    light = await page.evaluate(ground)
    await page.emulate_media(color_scheme="dark")
    await expect(page.get_by_role("button", name="Switch to light colours")).to_be_visible()
    assert await page.evaluate(ground) != light
    await page.get_by_role("button", name="Switch to light colours").click()
    assert await page.evaluate(ground) == light
    await page.reload()
    assert await page.evaluate(ground) == light
