// Retry and cancel, for one entry or for all that a search found. Nothing happens without a confirmed dialog.

// expected: what of the entry must still be as it is shown. A cancellation asks for nothing: that the entry has been
// claimed meanwhile, or runs, is no reason to let it run.
const VERBS = {
  retry: {
    name: "Retry", effect: "runs again at the next pass", effects: "run again at the next passes",
    done: "run again", told: (all) => `${all} put back in line`,
    expected: ({ status, submission }) => ({ status, submission }),
  },
  cancel: {
    name: "Cancel", effect: "is cancelled; a live run is stopped in Databricks first",
    effects: "are cancelled; live runs are stopped in Databricks first",
    done: "cancelled", told: (all) => `Cancellation of ${all} is asked for`,
    expected: () => ({}),
  },
};

function say(text) {
  const place = byId("said");
  place.textContent = text;
  clearTimeout(place.timer);
  place.timer = setTimeout(() => place.replaceChildren(), 8000);
}

// Ask before something is done. The dialog stays open with the reason when it fails.
function confirm({ title, text, yes, act }) {
  const dialog = byId("ask");
  const trouble = byId("ask-error");
  const button = byId("ask-yes");
  byId("ask-title").textContent = title;
  byId("ask-text").replaceChildren(...text.map((line) => h("p", {}, line)));
  byId("ask-no").textContent = act ? "No, go back" : "Close";
  button.textContent = yes ?? "";
  button.hidden = !act;
  button.disabled = false;
  trouble.hidden = true;
  button.onclick = async () => {
    button.disabled = true;
    button.textContent = "Working…";
    try {
      const told = await act();
      dialog.close();
      say(told);
      refresh();
    } catch (error) {
      trouble.textContent = error.message;
      trouble.hidden = false;
      button.disabled = false;
      button.textContent = yes;
    }
  };
  dialog.showModal();
  (act ? button : byId("ask-no")).focus();
}

function askOne(verb, entry) {
  const { name, effect } = VERBS[verb];
  confirm({
    title: `${name} entry ${entry.id}?`,
    text: [`${entry.table_name} (now ${entry.status}) ${effect}.`],
    yes: `${name} entry ${entry.id}`,
    act: async () => {
      const after = await api.change(verb, entry.id, VERBS[verb].expected(entry));
      const asked = verb === "cancel" && after.status !== "CANCELED" ? "; its cancellation is asked for" : "";
      return `Entry ${entry.id} (${entry.table_name}) is ${after.status}${asked}.`;
    },
  });
}

// First a dry run, which says how many it would be.
async function askAll(verb, filter, words) {
  const { name, effects } = VERBS[verb];
  let found;
  try {
    found = await api.changeAll(verb, filter, true);
  } catch (error) {
    confirm({ title: `${name} all found`, text: [error.message] });
    return;
  }
  if (found.count === 0) {
    const fitting = found.states.length > 0 ? `is ${found.states.join(", ")}` : `can be ${VERBS[verb].done}`;
    confirm({ title: `Nothing to ${verb}`, text: [`None of the ${words} ${fitting}.`] });
    return;
  }
  const all = many(found.count, "entry", "entries");
  confirm({
    title: `${name} ${all}?`,
    text: [
      `${counted(found.count, words)} ${found.count === 1 ? VERBS[verb].effect : effects}.`,
      ...(found.more ? [`There are more; one go takes the first ${count(found.count)}.`] : []),
    ],
    yes: `${name} ${all}`,
    act: async () => {
      // Those that were counted, and only where they are still in the states that were asked for.
      const done = await api.changeAll(verb, { ids: found.ids, state: found.states }, false);
      const left = found.count - done.count;
      return [
        `${VERBS[verb].told(many(done.count, "entry", "entries"))}.`,
        ...(left > 0 ? [`${many(left, "entry", "entries")} changed meanwhile: left alone.`] : []),
      ].join(" ");
    },
  });
}

// The buttons that fit an entry's state.
const actions = (entry, size = "small") =>
  entry.actions.map((verb) =>
    h("button", {
      type: "button", class: size, "data-key": `${verb}-${entry.id}`, "aria-label": `${VERBS[verb].name} entry ${entry.id}`,
      click: () => askOne(verb, entry),
    }, VERBS[verb].name));

// Rows of entries, the same in every view. Each extra column: {name, cell(entry)}.
function entryTable(entries, columns, { label }) {
  const head = ["Entry", "Table", "State", ...columns.map(({ name }) => name)];
  return h("table", { class: "entries", "aria-label": label },
    h("thead", {}, h("tr", {},
      head.map((name) => h("th", { scope: "col" }, name)),
      h("th", { scope: "col" }, h("span", { class: "hidden" }, "Actions")))),
    h("tbody", {}, entries.map((entry) => h("tr", {},
      h("td", { class: "tight" }, entryLink(entry.id)),
      h("td", { class: "name" }, entry.table_name),
      h("td", {}, status(entry.status)),
      columns.map(({ cell, kind }) => h("td", { class: kind ?? "tight" }, cell(entry))),
      h("td", {}, h("div", { class: "buttons" }, actions(entry)))))));
}

const runColumn = { name: "Run", cell: (entry) => runLink(entry) };

// The number of an entry's run, and the way to it.
const runLink = ({ run_id: id, run_page_url: page }) =>
  id === null ? "–" : h("span", { class: "number" }, page ? outside(page, `${id} ↗`) : String(id));

const entryLink = (id) => h("a", { href: `#entry=${id}`, "data-key": `entry-${id}` }, `#${id}`);

const errorColumn = {
  name: "Error", kind: "error",
  cell: ({ last_error: error }) => error && h("div", { class: "clip", title: error }, error),
};

// Only worth a column when there are several workspaces.
const workspaceColumn = (names) => (names.length > 1 ? [{ name: "Workspace", cell: (entry) => entry.workspace }] : []);
