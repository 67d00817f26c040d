// Starts the page: opens the view that the address names after #, and listens to the keys and the buttons around it.

import { ignoredWords, readAddress } from "./address.js";
import { api } from "./api.js";
import { ask } from "./dialog.js";
import { byId } from "./dom.js";
import { entryView, goBack } from "./entry.js";
import { historyView } from "./history.js";
import { nowView } from "./now.js";
import { openView, refresh } from "./refresh.js";
import { searchHash, searchView } from "./search.js";
import { startTheme } from "./theme.js";

const VIEWS = { now: nowView, history: historyView, search: searchView, entry: entryView };

let current = readAddress(location.hash);

function openCurrent() {
  current = readAddress(location.hash);
  byId("notice").textContent = ignoredWords(current.ignored);
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === current.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current.name === "search") byId("box").value = current.params.search;
  openView(VIEWS[current.name], current.params);
}

addEventListener("hashchange", openCurrent);

byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const kept = current.name === "search" ? current.params : {};
  const hash = `#${searchHash({ ...kept, search: byId("box").value.trim() })}`;
  if (location.hash === hash) refresh();
  else location.hash = hash;
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("view").focus();
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea") !== null;
  if (byId("ask").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    byId("box").focus();
    byId("box").select();
  }
  if (event.key === "Escape" && event.target === byId("box")) byId("view").focus();
  else if (event.key === "Escape" && current.name === "entry") goBack();
});

byId("pass").addEventListener("click", () => ask({
  title: "Start a pass now?",
  text: ["A pass settles runs that have ended and claims waiting entries. The timer does the same on its schedule."],
  yes: "Start a pass",
  act: async () => {
    const { problems } = await api.pass();
    return problems.length ? `The pass met problems: ${problems.join("; ")}` : "The pass is done.";
  },
}));

startTheme();
openCurrent();
