// Which view is open, when it is refreshed, and the keys. The address after # says all of it, so links lead anywhere.

const REFRESH_MS = 1000 * Math.min(600, Math.max(1, Number(new URLSearchParams(location.search).get("refresh")) || 10));
const SLOWEST_MS = 120_000;

const VIEWS = {
  now: { load: loadNow, build: buildNow, title: () => "Now", told: toldNow },
  history: { load: loadHistory, build: buildHistory, title: () => "History" },
  search: { load: loadSearch, build: buildSearch, title: () => "Search", told: () => byId("found").textContent },
  entry: { load: loadEntry, build: buildEntry, title: ({ id }) => `Entry ${id}`, told: toldEntry },
};

function toldNow({ health }) {
  const [, failed, waiting] = [...document.querySelectorAll(".answer .figure")].map((found) => found.textContent);
  return `${health.reasons?.length ? "Needs attention" : "All is well"}. Failed: ${failed}. Waiting: ${waiting}.`;
}

function toldEntry({ id, entry }) {
  return entry ? `Entry ${id} is ${entry.status}` : `There is no entry ${id}`;
}

function route() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const given = Object.fromEntries(hash);
  if (hash.has("entry")) return { name: "entry", params: { id: given.entry } };
  if (hash.has("history")) return { name: "history", params: { hours: given.history === "168" ? 168 : 24 } };
  if (hash.has("search")) return { name: "search", params: { ...given, search: given.search.trim() } };
  return { name: "now", params: {} };
}

const place = byId("view");
let current = route();
let loading = null; // the AbortController of the load under way
let timer = 0;
let failures = 0;
let succeeded = null; // when a load last did, as ISO time
let paused = false;
let latest = null; // what was loaded last, or was to be

// Load something for the current view and show it; a newer call takes an older one's place.
async function step(load) {
  clearTimeout(timer);
  latest = load;
  loading?.abort();
  const mine = (loading = new AbortController());
  const { name } = current;
  const slow = setTimeout(() => place.shownData === undefined && place.replaceChildren(h("p", { class: "quiet" }, "Loading…")), 150);
  try {
    const data = await load(mine.signal);
    if (mine !== loading) return;
    show(place, data, VIEWS[name].build);
    paused = Boolean(data.paused);
    failures = 0;
    succeeded = new Date().toISOString();
    tell(VIEWS[name], data);
    trouble(null);
  } catch (error) {
    if (mine !== loading) return;
    failures += 1;
    trouble(error);
  } finally {
    clearTimeout(slow);
    if (mine === loading) schedule();
  }
}

const refresh = () => step((signal) => VIEWS[current.name].load(current.params, signal));
// After a failure the same once more, so that a longer list does not shrink to its first rows.
const again = () => (failures ? step(latest) : refresh());
const comeBack = () => { if (failures || !paused) again(); };
const wait = () => Math.min(SLOWEST_MS, REFRESH_MS * 2 ** failures);

function schedule() {
  place.setAttribute("aria-busy", "false");
  freshness();
  clearTimeout(timer);
  if (document.hidden || (paused && !failures)) return;
  timer = setTimeout(() => (byId("ask").open ? schedule() : again()), failures ? wait() : REFRESH_MS);
}

function freshness() {
  if (succeeded === null) return;
  byId("freshness").replaceChildren(age(succeeded, { prefix: paused ? "paused, " : "updated ", suffix: " ago" }));
}

// Say what is wrong and when it is tried again; what was shown stays, but is marked as old.
function trouble(error) {
  place.classList.toggle("stale", error !== null);
  const banner = byId("trouble");
  banner.hidden = error === null;
  if (error === null) return;
  if (place.shownData === undefined) place.replaceChildren(h("p", { class: "empty" }, "There is nothing to show yet."));
  else place.shownData = null; // whatever comes next is drawn anew
  const well = place.querySelector("[data-well]");
  if (well) well.textContent = "Not known now"; // nobody shall read "All is well" off an old page
  byId("freshness").replaceChildren();
  const message = error instanceof ApiError ? error.message : `The page cannot show the answer: ${error.message}`;
  show(banner, [message, succeeded, wait()], () => [
    h("strong", {}, message),
    h("span", {}, succeeded ? ["Shown is the state of ", when(succeeded), ". "] : "", `Next try within ${span(wait() / 1000)}.`),
    h("button", { type: "button", class: "small", "data-key": "again", click: again }, "Try now"),
  ]);
}

// Speak to a screen reader, only of what is new.
function tell(view, data) {
  document.title = `${view.title(current.params)} · Job orchestrator`;
  const words = view.told?.(data) ?? document.title;
  if (byId("spoken").textContent !== words) byId("spoken").textContent = words;
}

function open() {
  current = route();
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === current.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current.name === "search") byId("box").value = current.params.search;
  if (place.contains(document.activeElement)) place.focus(); // what had the focus is about to go
  delete place.shownData;
  paused = false;
  place.setAttribute("aria-busy", "true");
  refresh();
}

addEventListener("hashchange", open);
addEventListener("online", comeBack);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : comeBack()));

byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const kept = current.name === "search" ? current.params : {};
  const hash = `#${searchHash({ ...kept, search: byId("box").value.trim() })}`;
  if (location.hash === hash) refresh();
  else location.hash = hash;
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  place.focus();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea") !== null;
  if (byId("ask").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("box").focus();
    byId("box").select();
  }
  if (event.key === "Escape" && event.target === byId("box")) place.focus();
  else if (event.key === "Escape" && current.name === "entry") goBack();
});

byId("pass").addEventListener("click", () => confirm({
  title: "Start a pass now?",
  text: ["Runs that are over are brought to their end, and waiting rows are claimed, as the timer does."],
  yes: "Start a pass",
  act: async () => {
    const { problems } = await api.pass();
    return problems.length ? `The pass met problems: ${problems.join("; ")}` : "The pass is done.";
  },
}));

// The theme follows the system until it is chosen here. A browser that forbids storage forgets the choice.
const THEME = "orchestrator-theme";
const memory = (() => {
  try {
    return localStorage;
  } catch {
    return null;
  }
})();
const systemDark = matchMedia("(prefers-color-scheme: dark)");
let chosen = memory?.getItem(THEME) ?? null;

function dress() {
  const dark = (chosen ?? (systemDark.matches ? "dark" : "light")) === "dark";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
}

byId("theme").addEventListener("click", () => {
  chosen = byId("theme").textContent.toLowerCase();
  memory?.setItem(THEME, chosen);
  dress();
});
systemDark.addEventListener("change", dress);

dress();
open();
