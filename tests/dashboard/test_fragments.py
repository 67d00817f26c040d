"""An address that nobody can have meant breaks no view: what is not understood is ignored, and named."""

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]

#: Names that every object of JavaScript has.
INHERITED = ("constructor", "__proto__", "toString")

#: Values that mean nothing where one of a few is expected.
ODD = (*INHERITED, "%E0%A4%A", "%", "%00", "--1", "<b>", "a" * 20_000)

#: The parts of a search's address, but for the names of workspaces: anything up to 64 characters may be one.
PARTS = ("in", "state", "since", "sort", "from", "until", "no-such-part", "__proto__")


async def opened(page: Page, site: Site, fragment: str) -> None:
    """Open an address within the page, as a link does, and wait for its view."""
    await page.evaluate("(hash) => { location.hash = hash; }", fragment)
    await expect(page.locator("#view")).to_have_attribute("aria-busy", "false")
    await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page.get_by_role("main").locator(".card").first).to_be_visible()


@pytest.fixture
def errors(page: Page) -> list[str]:
    """What the console says from now on."""
    found: list[str] = []
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.mark.parametrize("part", PARTS)
async def test_no_part_of_a_search_breaks_the_page(
    page: Page, site: Site, errors: list[str], part: str
) -> None:
    await page.goto(site.dashboard())
    notice = page.get_by_role("note")
    rows = page.get_by_role("table", name="Found").locator("tbody tr")
    for value in ODD:
        await opened(page, site, f"search=crews&{part}={value}")
        await expect(rows).to_have_count(1)
        await expect(notice).to_contain_text(f"Not understood in the address, and ignored: {part}=")
    assert len(await notice.inner_text()) < 120
    await page.get_by_role("combobox", name="State").select_option("DEAD")
    await expect(notice).to_be_hidden()
    await expect(rows).to_have_count(1)
    assert errors == []


@pytest.mark.parametrize("part", ["since", "from"])
async def test_the_page_opens_with_such_an_address(
    page: Page, site: Site, errors: list[str], part: str
) -> None:
    await page.goto(site.dashboard(f"search=crews&{part}=constructor"))
    await expect(page.locator("#found")).to_have_text("1 entry of table *crews*")
    await expect(page.get_by_role("note")).to_contain_text(f"{part}=constructor")
    assert errors == []


async def test_no_text_that_is_searched_for_breaks_the_page(
    page: Page, site: Site, errors: list[str]
) -> None:
    await page.goto(site.dashboard())
    for value in ODD:
        for key in ("search", "search=crews&workspace"):
            await opened(page, site, f"{key}={value}")
            await expect(page.locator("#found")).to_contain_text("entr")
    await expect(page.get_by_role("note")).to_contain_text("workspace=aaa")
    await page.evaluate("location.hash = 'search='")
    await page.evaluate("document.getElementById('box').value = 'lone \\ud800 surrogate'")
    await page.get_by_role("button", name="Find").click()
    await expect(page.get_by_role("main")).to_contain_text("Nothing found.")
    assert errors == []


async def test_no_other_view_is_broken_by_its_address(page: Page, site: Site, errors: list[str]) -> None:
    await page.goto(site.dashboard())
    notice = page.get_by_role("note")
    for value in ODD:
        for fragment, view in [
            (f"history={value}", "The last 24 hours"),
            (f"history=24&{value}=1", "The last 24 hours"),
            (f"entry={value}", "Is it healthy?"),
            (f"entry={site.entry('crews')['id']}&{value}", "crews"),
            (f"now&more={value}", "Is it healthy?"),
            (value, "Is it healthy?"),
        ]:
            await opened(page, site, fragment)
            await expect(page.get_by_role("main")).to_contain_text(view)
            await expect(notice).to_be_visible()
    for fragment in ("", "now", "history", "history=168", f"entry={site.entry('crews')['id']}", "search="):
        await opened(page, site, fragment)
        await expect(notice).to_be_hidden()
    assert errors == []
