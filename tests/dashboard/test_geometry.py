"""Nothing on the first screen covers or overflows anything else, with several workspaces and long names."""

import json
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.conftest import Azurite
from tests.dashboard.site import FOR_THE_WHOLE_TIME_SECONDS, LATER, Site, new_site
from tests.dashboard.test_workspaces import start_workspace
from tests.e2e.stack import JOB_ID

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]

WIDTHS = (390, 600, 768, 1024, 1280, 1440, 1920)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

#: Names of forty characters: of words, and without a place where a line may end.
WORDS = "sales_orders_europe_central_history_2026"
SOLID = "CustomerMasterDataConsolidationSnapshots"
WORKSPACES = ("analytics-production-west-europe-primary", "DataScienceExperimentationSandboxEastUS2")
ERROR = (
    "AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] The table or view "
    "`catalog_production`.`schema_of_the_sales_department`.`sales_orders_europe_central_history_2026` cannot "
    "be found: abfss://landing@datalakeproductionwesteurope.dfs.core.windows.net/raw/sales_orders/2026-11-28"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowded(
    chromium: str, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """Three workspaces with long names, one of which does not answer, and entries in every list."""
    made = new_site(azurite, tmp_path_factory.mktemp("crowded"))
    try:
        await crowd(made)
        yield made
    finally:
        made.stack.stop()


async def crowd(site: Site) -> None:
    """Insert the entries, and wait until they run or are dead."""
    hosts = {name: start_workspace(site, seed) for seed, name in enumerate(WORKSPACES, start=2)}
    site.stack.settings["DATABRICKS_WORKSPACES"] = json.dumps(
        {name: {"host": host, "token": "a-token", "job_id": JOB_ID, "cap": 4} for name, host in hosts.items()}
    )
    site.stack.terminate(site.stack.processes[-1])
    first, _ = WORKSPACES
    for table in (WORDS, SOLID):
        await site.outcome(table, ["SUCCESS"], run_seconds=FOR_THE_WHOLE_TIME_SECONDS)
        await site.outcome(f"{table[:-2]}xx", ["FAILED"], error=ERROR)
    running = [*site.insert(WORDS, SOLID), *site.insert(WORDS, SOLID, "short", workspace=first)]
    dead = site.insert(f"{WORDS[:-2]}xx", f"{SOLID[:-2]}xx")
    site.start_host()
    await site.until(running, "RUNNING")
    await site.until(dead, "DEAD")
    for workspace in ("default", *WORKSPACES):
        site.insert(WORDS, SOLID, workspace=workspace)
    site.insert("budget", at=LATER)
    site.insert("a_workspace_that_the_settings_do_not_name", workspace="gone")
    silence = "INSERT OR REPLACE INTO orchestrator_silence VALUES (?, '2026-01-01 00:00:00.000', 9, ?)"
    site.stack.execute(silence, [(WORKSPACES[1], "no answer from Databricks")])


#: Collects what lies wrongly: boxes that cover one another or leave their card, words that are broken, and
#: buttons whose click something else would get.
FAULTS = r"""() => {
    const faults = [];
    const shown = (element) => element.checkVisibility() && element.getClientRects().length > 0;
    const all = (selector, inside = document) => [...inside.querySelectorAll(selector)].filter(shown);
    const name = ({ tagName, className, textContent }) =>
        `${tagName}.${className} ${textContent.trim().slice(0, 40)}`;
    const box = (element) => element.getBoundingClientRect();
    const overlap = (one, other) =>
        Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1 &&
        Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1;
    const check = (kind, elements) => {
        for (const [at, one] of elements.entries())
            for (const other of elements.slice(at + 1))
                if (!one.contains(other) && !other.contains(one) && overlap(box(one), box(other)))
                    faults.push(`${kind}: ${name(one)} covers ${name(other)}`);
    };
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth) faults.push(`the page is ${page.scrollWidth} px wide`);
    check("cards", all(".card"));
    for (const card of all(".card")) {
        const edge = box(card);
        if (card.scrollWidth > card.clientWidth) faults.push(`wider than its card: ${name(card)}`);
        for (const inner of all("*", card)) {
            if (inner.matches(".scroll *, .hidden")) continue;
            const { left, right, top, bottom } = box(inner);
            const isWide = left < edge.left - 1 || right > edge.right + 1;
            if (isWide || top < edge.top - 1 || bottom > edge.bottom + 1)
                faults.push(`outside of its card: ${name(inner)}`);
        }
        check("cells", all("td, th, dt, dd, h2 > *, button, a", card));
    }
    check("header", all("header h1, header a, header input, header button, #freshness"));
    const range = document.createRange();
    for (const place of all("td.name, td.workspace, .workspace h2 .name, nav a, button, h1, th"))
        for (const text of Array.from(place.childNodes).filter(({ nodeType }) => nodeType === Node.TEXT_NODE))
            for (const { index, 0: word } of text.data.matchAll(/\S+/g)) {
                range.setStart(text, index);
                range.setEnd(text, index + word.length);
                const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
                if (lines.size > 1) faults.push(`broken in mid-word: ${word}`);
            }
    for (const button of all("main button, header button, footer button, main a")) {
        button.scrollIntoView({ block: "center" });
        const { left, top, width, height } = button.getClientRects()[0];
        const hit = document.elementFromPoint(left + width / 2, top + height / 2);
        if (hit !== button && !button.contains(hit)) faults.push(`cannot be clicked: ${name(button)}`);
    }
    scrollTo(0, 0);
    return faults;
}"""


#: Waits until the page has been laid out anew, its charts included.
LAID_OUT = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


async def faults(page: Page, site: Site, view: str) -> dict[str, list[str]]:
    """Open a view and return what lies wrongly in it at each width, by day or by night."""
    await page.goto(site.dashboard(view))
    await expect(page.locator("#freshness")).to_contain_text("updated")
    found: dict[str, list[str]] = {}
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await page.evaluate(LAID_OUT)
            found[f"{width} px, {scheme}"] = await page.evaluate(FAULTS)
    return {look: each for look, each in found.items() if each}


@pytest.mark.parametrize("view", ["now", "search=", "history=24", "entry=6"])
async def test_nothing_covers_or_overflows_anything(page: Page, crowded: Site, view: str) -> None:
    assert await faults(page, crowded, view) == {}


@pytest.mark.parametrize("view", ["now", "search=", "history=24"])
async def test_one_workspace_needs_no_more_room(page: Page, site: Site, view: str) -> None:
    """With one workspace the wide cards have columns, with a name of forty characters as well."""
    later = site.insert(SOLID, WORDS, at=LATER)
    found = await faults(page, site, view)
    site.stack.execute("DELETE FROM track_processing WHERE id = ?", [(each,) for each in later])
    assert found == {}


async def test_the_faults_are_found(page: Page, crowded: Site) -> None:
    """With a wrong style the page has every fault that is looked for."""
    await page.set_viewport_size({"width": 600, "height": 900})
    await page.goto(crowded.dashboard())
    await expect(page.locator("#freshness")).to_contain_text("updated")
    await page.evaluate(
        """() => {
            const sheet = new CSSStyleSheet();
            sheet.replaceSync(`.card { width: 150px } td { display: inline-block; width: 40px !important }
                td.actions { margin-left: -60px !important; pointer-events: none }
                .summary { margin-bottom: -80px }`);
            document.adoptedStyleSheets = [sheet];
        }"""
    )
    found: list[str] = await page.evaluate(FAULTS)
    for fault in ("cards: ", "cells: ", "outside of its card", "broken in mid-word", "cannot be clicked"):
        assert any(each.startswith(fault) for each in found), fault


async def test_the_first_card_tells_of_a_workspace_that_does_not_answer(page: Page, crowded: Site) -> None:
    await page.goto(crowded.dashboard())
    card = page.locator(".summary").first
    await expect(card).to_contain_text("Needs attention")
    await expect(card).to_contain_text(
        f"workspace {WORKSPACES[1]} has not answered since 2026-01-01 00:00:00 UTC"
    )
    await expect(card).to_have_class("card summary is-bad")


async def test_the_first_card_is_not_green_while_a_workspace_does_not_answer(
    page: Page, crowded: Site
) -> None:
    """It is no reason in health yet, but it is seen already."""

    async def well(route: Route) -> None:
        await route.fulfill(json={"status": "ok"})

    await page.route("**/api/health", well)
    await page.goto(crowded.dashboard())
    card = page.locator(".summary").first
    await expect(card).to_contain_text("1 workspace does not answer")
    await expect(card).not_to_contain_text("Healthy")
    await expect(card).to_have_class("card summary is-warn")


async def test_a_bulk_dialog_names_its_conditions_and_has_room_for_them(page: Page, crowded: Site) -> None:
    view = f"search={SOLID}&workspace={WORKSPACES[0]}&since=24h&state=QUEUED,RUNNING"
    await page.goto(crowded.dashboard(view))
    await page.get_by_role("button", name="Cancel all found…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(f"1 entry of table *{SOLID}* will be cancelled")
    for condition in (
        f"Table*{SOLID}*",
        "StateQUEUED or RUNNING",
        f"Workspace{WORKSPACES[0]}",
        "Changed since",
    ):
        await expect(dialog).to_contain_text(condition)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.evaluate(LAID_OUT)
        assert await dialog.evaluate(
            "(it) => it.scrollWidth <= it.clientWidth && it.scrollHeight <= it.clientHeight"
        ), width
        for button in ("No, go back", "Cancel 1 entry"):
            await dialog.get_by_role("button", name=button).click(trial=True)
