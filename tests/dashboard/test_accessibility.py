"""axe-core finds no violation of WCAG 2.1 A and AA in any view, dialog, colour scheme or width."""

from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.conftest import ROOT
from tests.dashboard.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

#: A development dependency; ``make setup`` installs it.
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

#: https://github.com/dequelabs/axe-core/blob/develop/doc/API.md#axe-core-tags
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

#: The colour scheme and width of each look.
LOOKS: dict[str, tuple[Literal["light", "dark"], int]] = {
    "light": ("light", 1280),
    "dark": ("dark", 1280),
    "phone": ("light", 360),
}

RUN = """async (tags) => {
    const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
    return violations.map(({ id, help, nodes }) =>
        ({ id, help, nodes: nodes.map(({ html, failureSummary }) => [html, failureSummary]) }));
}"""


async def violations(page: Page) -> dict[str, list[dict[str, Any]]]:
    """Return the violations in the page as it is now, in each look."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (scheme, width) in LOOKS.items():
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 900})
        found[name] = await page.evaluate(RUN, TAGS)
    return {name: each for name, each in found.items() if each}


async def open_view(page: Page, site: Site, view: str) -> None:
    await page.goto(site.dashboard(view))
    await expect(page.locator("#freshness")).to_contain_text("updated")


@pytest.mark.parametrize("view", ["now", "history=24", "search=", "search=nothing-like-it", "entry"])
async def test_no_view_has_a_violation(page: Page, site: Site, view: str) -> None:
    await open_view(page, site, f"entry={site.entry('crews')['id']}" if view == "entry" else view)
    await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert await violations(page) == {}


async def test_no_dialog_has_a_violation(page: Page, site: Site) -> None:
    crews = site.entry("crews")["id"]
    await open_view(page, site, f"entry={crews}")
    for verb in ("Retry", "Resolve"):
        await page.get_by_role("button", name=f"{verb} entry {crews}").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await violations(page) == {}
        await page.keyboard.press("Escape")


async def test_a_page_that_cannot_reach_the_api_has_no_violation(page: Page, site: Site) -> None:
    await open_view(page, site, "now")
    await page.route("**/api/status", lambda route: route.abort())
    await expect(page.get_by_role("alert")).to_contain_text("This was the state at")
    assert await violations(page) == {}


async def test_a_page_with_nothing_to_show_has_no_violation(page: Page, site: Site) -> None:
    await page.route("**/api/status", lambda route: route.fulfill(status=401, body=""))
    await page.goto(site.dashboard())
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await violations(page) == {}
