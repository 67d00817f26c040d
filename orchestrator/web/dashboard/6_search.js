// One box finds an execution: a number is an entry or a run; any other text is a table, or else a part of an error.

const PAGE_ROWS = 50;
const STATES = ["PENDING", "QUEUED", "RUNNING", "FAILED", "DONE", "DEAD", "CANCELED"];
const STATE_CHOICES = [
  ["", "all"], ["PENDING,FAILED", "waiting"], ["QUEUED,RUNNING", "in flight"], ["FAILED,DEAD", "failed"],
  ...STATES.map((name) => [name, name]),
];
const SPANS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 };
const SPAN_CHOICES = [
  ["", "any time"], ["1h", "last hour"], ["24h", "last 24 hours"], ["7d", "last 7 days"], ["30d", "last 30 days"],
  ["between", "between…"],
];
const SORT_CHOICES = [["-updated", "last changed"], ["updated", "first changed"], ["-id", "newest"], ["id", "oldest"]];
const IN_CHOICES = [["", "everything"], ["table", "table (* = any)"], ["error", "error text"]];

let workspaceNames = null;

// What all ways to search have in common.
function commonFilter({ state, workspace, since, from, until }) {
  const filter = {};
  if (state) filter.state = state.split(",");
  if (workspace) filter.workspace = workspace;
  if (since in SPANS) filter.since = new Date(Math.floor(now() / 60_000) * 60_000 - SPANS[since] * HOUR_MS).toISOString();
  if (since === "between" && isTime(from)) filter.since = new Date(from).toISOString();
  if (since === "between" && isTime(until)) filter.until = new Date(until).toISOString();
  return filter;
}

const isTime = (text) => Boolean(text) && !Number.isNaN(Date.parse(text));

// The ways to understand what was typed, the likeliest first: {words, filter}, and an id when one entry is meant.
function readings({ search: text, in: where }) {
  const table = (wanted) => ({ words: `entries of table ${wanted}`, filter: { table: wanted } });
  const error = { words: `entries with “${text}” in the error`, filter: { error: text } };
  if (!text) return [{ words: "entries", filter: {} }];
  if (where === "table") return [table(text)];
  if (where === "error") return [error];
  const named = table(text.includes("*") ? text : `*${text}*`);
  // Ids are at most 2^63 - 1; a longer row of digits is a text.
  if (!/^#?\d{1,18}$/.test(text)) return [named, error];
  const number = text.replace("#", "");
  return [{ words: `entries with run ${number}, or the entry of that number`, filter: { run_id: number }, id: number },
    named, error];
}

const orNone = (error) => {
  if (error.status === 404) return null;
  throw error;
};

async function findBy(reading, params, after, signal) {
  const filter = { ...commonFilter(params), ...reading.filter };
  const [page, one] = await Promise.all([
    api.entries({ ...filter, sort: params.sort || "-updated", limit: PAGE_ROWS, after }, signal),
    reading.id && !after ? api.entry(reading.id, signal).catch(orNone) : null,
  ]);
  const entries = one ? [one, ...page.entries.filter(({ id }) => id !== one.id)] : page.entries;
  return { words: reading.words, filter, reading, entries, next: page.next, bulk: !reading.id && Object.keys(filter).length > 0 };
}

async function loadSearch(params, signal) {
  workspaceNames ??= (await api.status(signal)).workspaces.map(({ name }) => name);
  const found = [];
  for (const reading of readings(params)) {
    const one = await findBy(reading, params, null, signal);
    if (one.entries.length > 0) return { params, names: workspaceNames, ...one };
    found.push(one);
  }
  // Nothing anywhere so far; only a part was looked through where there is a next page.
  return { params, names: workspaceNames, ...(found.find(({ next }) => next) ?? found.at(-1)) };
}

// "1 entry of table sales", "2 entries of table sales"
const counted = (number, words) => `${count(number)} ${number === 1 ? words.replace(/^entries/, "entry") : words}`;

function buildSearch(data) {
  const { entries, next, words, names } = data;
  const amount = `${counted(entries.length, words)}${next ? " so far" : ""}`;
  return [
    filters(data),
    h("section", { class: "card" },
      h("h2", {}, h("span", { id: "found" }, amount), otherReading(data)),
      entries.length > 0 && entryTable(entries, [
        ...workspaceColumn(names), errorColumn,
        runColumn,
        { name: "Changed", cell: (entry) => when(entry.updated_at) },
      ], { label: "Found" }),
      entries.length === 0 && h("p", { class: "empty" }, next
        ? "Nothing among the rows that were looked through so far."
        : "Nothing found. A part of a table’s name or of its last error is enough; * stands for any text."),
      h("div", { class: "buttons" },
        next && h("button", { type: "button", "data-key": "more", click: () => more(data) },
          entries.length ? "Show more" : "Go on searching"),
        data.bulk && entries.length > 0 && ["retry", "cancel"].map((verb) => h("button", {
          type: "button", "data-key": `all-${verb}`, click: () => askAll(verb, data.filter, words),
        }, `${VERBS[verb].name} all found…`)))),
  ];
}

// Where tables are found, the same text may stand in errors, too.
const otherReading = ({ params, filter, entries }) =>
  filter.table && !params.in && entries.length > 0 &&
  h("a", { href: `#${searchHash({ ...params, in: "error" })}`, "data-key": "in-errors" }, "look in the errors instead");

async function more(data) {
  await step(async (signal) => {
    const page = await findBy(data.reading, data.params, data.next, signal);
    // From now on the page is not refreshed by itself: it would shrink to its first rows.
    return { ...data, entries: [...data.entries, ...page.entries], next: page.next, paused: true };
  });
}

// Also the one that is asked for although nothing of it is left: no filter works unseen.
const workspaceChoices = (names, chosen) =>
  [["", "all"], ...[...new Set([...names, ...(chosen ? [chosen] : [])])].map((name) => [name, name])];

function filters({ params, names }) {
  const set = (changes) => { location.hash = `#${searchHash({ ...params, ...changes })}`; };
  const choice = (key, name, choices) => h("label", {}, name,
    h("select", { "data-key": `filter-${key}`, change: (event) => set({ [key]: event.target.value }) },
      choices.map(([value, text]) => h("option", { value, selected: value === (params[key] ?? "") }, text))));
  const time = (key, name) => h("label", {}, name, h("input", {
    type: "datetime-local", "data-key": `filter-${key}`, value: params[key], change: (event) => set({ [key]: event.target.value }),
  }));
  return h("section", { class: "filters card", "aria-label": "Filters" },
    choice("in", "Search in", IN_CHOICES),
    choice("state", "State", STATE_CHOICES),
    (names.length > 1 || params.workspace) && choice("workspace", "Workspace", workspaceChoices(names, params.workspace)),
    choice("since", "Changed", SPAN_CHOICES),
    params.since === "between" && [time("from", "From"), time("until", "Until")],
    choice("sort", "Order", SORT_CHOICES));
}

// The search as it stands in the address: always with search=, the rest only when it is set.
const searchHash = ({ search, ...rest }) => ["search=" + encodeURIComponent(search), query(rest)].filter(Boolean).join("&");
