// Retry and cancel, for one entry or for all that a search found. Nothing happens without a confirmed dialog.

const VERBS = {
  retry: {
    name: "Retry", states: ["FAILED", "DEAD", "CANCELED", "DONE"],
    unnamed: ["FAILED", "DEAD"], // over a search that names no state; the API's own rule
    effect: "runs again at the next pass", effects: "run again at the next passes",
  },
  cancel: {
    name: "Cancel", states: ["PENDING", "QUEUED", "RUNNING", "FAILED"],
    unnamed: ["PENDING", "QUEUED", "RUNNING", "FAILED"],
    effect: "is cancelled; a live run is stopped in Databricks first",
    effects: "are cancelled; live runs are stopped in Databricks first",
  },
};

const allows = (verb, entry) =>
  VERBS[verb].states.includes(entry.status) && !(verb === "cancel" && entry.cancel_requested);

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
    try {
      const told = await act();
      dialog.close();
      say(told);
      refresh();
    } catch (error) {
      trouble.textContent = error.message;
      trouble.hidden = false;
      button.disabled = false;
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
      const after = await api.change(verb, entry.id);
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
    const fitting = filter.state ? VERBS[verb].states : VERBS[verb].unnamed;
    confirm({ title: `Nothing to ${verb}`, text: [`None of the ${words} is ${fitting.join(", ")}.`] });
    return;
  }
  const all = many(found.count, "entry", "entries");
  confirm({
    title: `${name} ${all}?`,
    text: [
      `${all} of the ${words} ${found.count === 1 ? VERBS[verb].effect : effects}.`,
      ...(found.more ? [`There are more; one go takes the first ${count(found.count)}.`] : []),
    ],
    yes: `${name} ${all}`,
    act: async () => {
      const done = await api.changeAll(verb, filter, false);
      return verb === "retry"
        ? `${many(done.count, "entry", "entries")} put back in line.`
        : `Cancellation of ${many(done.count, "entry", "entries")} is asked for.`;
    },
  });
}

// The buttons that fit an entry's state.
const actions = (entry, size = "small") =>
  Object.keys(VERBS).filter((verb) => allows(verb, entry)).map((verb) =>
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
      h("td", {}, entry.table_name),
      h("td", {}, status(entry.status)),
      columns.map(({ cell, kind }) => h("td", { class: kind ?? "tight" }, cell(entry))),
      h("td", {}, h("div", { class: "buttons" }, actions(entry)))))));
}

const entryLink = (id) => h("a", { href: `#entry=${id}`, "data-key": `entry-${id}` }, `#${id}`);

const errorColumn = {
  name: "Error", kind: "error",
  cell: ({ last_error: error }) => error && h("div", { class: "clip", title: error }, error),
};

// Only worth a column when there are several workspaces.
const workspaceColumn = (names) => (names.length > 1 ? [{ name: "Workspace", cell: (entry) => entry.workspace }] : []);
