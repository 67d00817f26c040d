// Loads the open view, shows it, refreshes it on a timer, and reports failures.
//
// A view is {load(params, signal), build(data), title(params), announce(data)}; the last one is optional.

import { ApiError } from "./api.js";
import { byId, h, show } from "./dom.js";
import { age, duration, localTime } from "./format.js";

const REFRESH_MS = 1000 * Math.min(600, Math.max(1, Number(new URLSearchParams(location.search).get("refresh")) || 10));
const SLOWEST_MS = 120_000;
const SLOW_LOAD_MS = 150; // a faster load shows no "Loading…"

const place = byId("view");
let view = null;
let params = {};
let loading = null; // the AbortController of the load in progress
let timer = 0;
let failures = 0; // in a row
let succeededAt = null; // when a load last succeeded, as ISO time
let paused = false;
let latestLoad = null;

// Show a view from its beginning.
export function openView(opened, openedParams) {
  view = opened;
  params = openedParams;
  if (place.contains(document.activeElement)) place.focus(); // the focused element is about to go
  delete place.shownData;
  paused = false;
  place.setAttribute("aria-busy", "true");
  refresh();
}

// Load data for the open view and show it. A newer load replaces one in progress.
export async function loadAndShow(load) {
  clearTimeout(timer);
  latestLoad = load;
  loading?.abort();
  const mine = (loading = new AbortController());
  const slow = setTimeout(showLoading, SLOW_LOAD_MS);
  try {
    const data = await load(mine.signal);
    if (mine !== loading) return;
    show(place, data, view.build);
    paused = Boolean(data.paused);
    failures = 0;
    succeededAt = new Date().toISOString();
    announce(data);
    reportFailure(null);
  } catch (error) {
    if (mine !== loading) return;
    failures += 1;
    reportFailure(error);
  } finally {
    clearTimeout(slow);
    if (mine === loading) schedule();
  }
}

export const refresh = () => loadAndShow((signal) => view.load(params, signal));

// After a failure, repeat the same load: a plain refresh would shorten a list that has grown by "Show more".
const retry = () => (failures ? loadAndShow(latestLoad) : refresh());
const retryDelayMs = () => Math.min(SLOWEST_MS, REFRESH_MS * 2 ** failures);

function resume() {
  if (failures || !paused) retry();
}

function showLoading() {
  if (place.shownData === undefined) place.replaceChildren(h("p", { class: "quiet" }, "Loading…"));
}

function schedule() {
  place.setAttribute("aria-busy", "false");
  showFreshness();
  clearTimeout(timer);
  if (document.hidden || (paused && !failures)) return;
  timer = setTimeout(() => (byId("ask").open ? schedule() : retry()), failures ? retryDelayMs() : REFRESH_MS);
}

function showFreshness() {
  if (succeededAt === null) return;
  const prefix = paused ? "paused, updated " : "updated ";
  byId("freshness").replaceChildren(age(succeededAt, { prefix, suffix: " ago" }));
}

// Say what went wrong and when the page tries again. What was shown stays, but is marked as stale.
function reportFailure(error) {
  place.classList.toggle("stale", error !== null);
  const banner = byId("failure");
  banner.hidden = error === null;
  if (error === null) return;
  if (place.shownData === undefined) place.replaceChildren(h("p", { class: "empty" }, "There is nothing to show yet."));
  else place.shownData = null; // the next data is drawn anew, even if it is the same
  const health = place.querySelector("[data-health]");
  if (health) health.textContent = "Unknown"; // nobody may read "Healthy" off a stale page
  byId("freshness").replaceChildren();
  const message = error instanceof ApiError ? error.message : `The page cannot show the response: ${error.message}`;
  show(banner, [message, succeededAt, retryDelayMs()], () => [
    h("strong", {}, message),
    h("span", {}, succeededAt ? ["This was the state at ", localTime(succeededAt), ". "] : "",
      `Next try within ${duration(retryDelayMs() / 1000)}.`),
    h("button", { type: "button", class: "small", "data-key": "again", click: retry }, "Try now"),
  ]);
}

// Set the title, and tell screen readers what is new.
function announce(data) {
  document.title = `${view.title(params)} · Job orchestrator`;
  const words = view.announce?.(data) ?? document.title;
  if (byId("announcement").textContent !== words) byId("announcement").textContent = words;
}

addEventListener("online", resume);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : resume()));
