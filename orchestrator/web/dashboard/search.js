// Finds entries from one box: a number is an entry or a run; any other text is a table, or else part of an error.

import { bulkButtons, counted } from "./actions.js";
import { api, nullIfNotFound, query } from "./api.js";
import { byId, h } from "./dom.js";
import { entryTable, errorColumn, runColumn, workspaceColumns } from "./entries.js";
import { hoursAgo, localTime } from "./format.js";
import { loadAndShow } from "./refresh.js";

const PAGE_SIZE = 50;
// None of the states, brought by a load that passes the rules by: listed, and changed by SQL alone.
const UNREADABLE = "UNREADABLE";
const STATES = ["PENDING", "QUEUED", "RUNNING", "FAILED", "DONE", "DEAD", "CANCELED", UNREADABLE];
const STATE_CHOICES = [
  ["", "all"], ["PENDING,FAILED", "waiting"], ["QUEUED,RUNNING", "in flight"], ["FAILED,DEAD", "failed"],
  ["with-failures", "done, with failures"],
  ...STATES.map((state) => [state, state]),
];
const PERIOD_HOURS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 };
const PERIOD_CHOICES = [
  ["", "any time"], ["1h", "last hour"], ["24h", "last 24 hours"], ["7d", "last 7 days"], ["30d", "last 30 days"],
  ["between", "between…"],
];
const SORT_CHOICES = [["-updated", "last changed"], ["updated", "first changed"], ["-id", "newest"], ["id", "oldest"]];
const IN_CHOICES = [["", "everything"], ["table", "table name (* = any text)"], ["error", "error text"]];

// Longest text to search for, as in the box; longest name of a workspace.
const MAX_TEXT = 200;
const MAX_NAME = 64;

// A time as an input of times gives it, in a year that the API takes in each time zone.
function isTime(text) {
  const year = new Date(text).getFullYear();
  return /^\d{4}-\d\d-\d\dT/.test(text) && year >= 1900 && year < 9999;
}

// What the API takes as a text: no control characters, no halves of characters, and no spaces but the usual one.
const isPrintable = (text) => /^(?: |[^\p{C}\p{Z}])*$/u.test(text);

const isOneOf = (choices) => (value) => choices.some(([choice]) => choice === value);

// What the address may say of a search, and which values are understood.
const UNDERSTOOD = {
  in: isOneOf(IN_CHOICES),
  state: (value) => isOneOf(STATE_CHOICES)(value) || value.split(",").every((state) => STATES.includes(state)),
  workspace: (value) => value.length <= MAX_NAME && isPrintable(value),
  since: isOneOf(PERIOD_CHOICES),
  from: isTime,
  until: isTime,
  sort: isOneOf(SORT_CHOICES),
};

// Read a search from the [name, value] pairs of the address: its parameters, and the pairs that are not understood.
export function readSearch(given) {
  const params = { search: "" };
  const ignored = [];
  for (const [key, value] of given) {
    const text = value.replace(/\s+/g, " ").trim(); // names are copied with all kinds of spaces
    if (key === "search" && text.length <= MAX_TEXT && isPrintable(text)) params.search = text;
    else if (Object.hasOwn(UNDERSTOOD, key) && (value === "" || UNDERSTOOD[key](value))) params[key] = value;
    else ignored.push([key, value]);
  }
  return { params, ignored };
}

let workspaceNames = null;

// The part of the filter that does not depend on what was typed.
function commonFilter({ state, workspace, since, from, until }) {
  const filter = {};
  if (state === "with-failures") filter.with_failures = true;
  else if (state) filter.state = state.split(",");
  if (workspace) filter.workspace = workspace;
  if (Object.hasOwn(PERIOD_HOURS, since ?? "")) filter.since = hoursAgo(PERIOD_HOURS[since]);
  if (since === "between" && from) filter.since = new Date(from).toISOString();
  if (since === "between" && until) filter.until = new Date(until).toISOString();
  return filter;
}

// Ids are at most 2^63 - 1, or as far below zero; more digits than that are a text.
const MAX_ID = 2n ** 63n - 1n;
const isId = (text) => /^-?\d{1,19}$/.test(text) && BigInt(text.replace("-", "")) <= MAX_ID;

// The ways to read what was typed, the likeliest first: {words, filter}, and an id when it may be one entry's.
function readings({ search: text, in: where }) {
  const table = (wanted) => ({ words: `entries of table ${wanted}`, filter: { table: wanted } });
  const error = { words: `entries with “${text}” in the error`, filter: { error: text } };
  if (!text) return [{ words: "entries", filter: {} }];
  if (where === "table") return [table(text)];
  if (where === "error") return [error];
  const named = table(text.includes("*") ? text : `*${text}*`);
  const number = text.replace("#", "");
  if (!isId(number)) return [named, error];
  return [{ words: `entries with id or run ${number}`, filter: { run_id: number }, id: number }, named, error];
}

async function findPage(reading, params, after, signal) {
  const filter = { ...commonFilter(params), ...reading.filter };
  const [page, byEntryId] = await Promise.all([
    api.entries({ ...filter, sort: params.sort || "-updated", limit: PAGE_SIZE, after }, signal),
    reading.id && !after ? api.entry(reading.id, signal).catch(nullIfNotFound) : null,
  ]);
  const entries = byEntryId ? [byEntryId, ...page.entries.filter(({ id }) => id !== byEntryId.id)] : page.entries;
  const bulk = !reading.id && Object.keys(filter).length > 0 && !filter.state?.includes(UNREADABLE);
  return { words: reading.words, filter, reading, entries, next: page.next, bulk };
}

async function load(params, signal) {
  workspaceNames ??= (await api.status(signal)).workspaces.map(({ name }) => name);
  const pages = [];
  for (const reading of readings(params)) {
    const page = await findPage(reading, params, null, signal);
    if (page.entries.length > 0) return { params, names: workspaceNames, ...page };
    pages.push(page);
  }
  // Nothing found so far. A reading with a next page has not been searched to its end, so it is the one to show.
  return { params, names: workspaceNames, ...(pages.find(({ next }) => next) ?? pages.at(-1)) };
}

function build(data) {
  const { entries, next, words, names } = data;
  const found = `${counted(entries.length, words)}${next ? " so far" : ""}`;
  return [
    filters(data),
    h("section", { class: "card" },
      h("h2", {}, h("span", { id: "found" }, found), errorSearchLink(data)),
      entries.length > 0 && entryTable(entries, [
        ...workspaceColumns(names), errorColumn,
        runColumn,
        { name: "Changed", kind: "when", cell: ({ updated_at: at }) => localTime(at) },
      ], { label: "Found" }),
      entries.length === 0 && h("p", { class: "empty" }, next
        ? "No match among the entries searched so far."
        : "Nothing found. Part of a table name or of an error is enough; * stands for any text."),
      h("div", { class: "buttons" },
        next && h("button", { type: "button", "data-key": "more", click: () => loadMore(data) },
          entries.length ? "Show more" : "Keep searching"),
        data.bulk && entries.length > 0 && bulkButtons(data.filter, words))),
  ];
}

// A text that is found in table names may stand in errors, too.
const errorSearchLink = ({ params, filter, entries }) =>
  filter.table && !params.in && entries.length > 0 &&
  h("a", { href: `#${searchHash({ ...params, in: "error" })}`, "data-key": "in-errors" }, "search the errors instead");

const loadMore = (data) =>
  loadAndShow(async (signal) => {
    const page = await findPage(data.reading, data.params, data.next, signal);
    // Pause the refresh: it would cut the list back to its first page.
    return { ...data, entries: [...data.entries, ...page.entries], next: page.next, paused: true };
  });

// Offer the chosen workspace even if it is gone, so that every active filter can be seen.
const workspaceChoices = (names, chosen) =>
  [["", "all"], ...[...new Set([...names, ...(chosen ? [chosen] : [])])].map((name) => [name, name])];

function filters({ params, names }) {
  const set = (changes) => { location.hash = `#${searchHash({ ...params, ...changes })}`; };
  const choice = (key, name, choices) => h("label", {}, name,
    h("select", { "data-key": `filter-${key}`, change: (event) => set({ [key]: event.target.value }) },
      choices.map(([value, text]) => h("option", { value, selected: value === (params[key] ?? "") }, text))));
  const time = (key, name) => h("label", {}, name, h("input", {
    type: "datetime-local", "data-key": `filter-${key}`, value: params[key],
    change: (event) => set({ [key]: event.target.value }),
  }));
  return h("section", { class: "filters card", "aria-label": "Filters" },
    choice("in", "Search in", IN_CHOICES),
    choice("state", "State", STATE_CHOICES),
    (names.length > 1 || params.workspace) && choice("workspace", "Workspace", workspaceChoices(names, params.workspace)),
    choice("since", "Changed", PERIOD_CHOICES),
    params.since === "between" && [time("from", "From"), time("until", "Until")],
    choice("sort", "Order", SORT_CHOICES));
}

// The search as part of the page's address: always with search=, the rest only where it is set.
export const searchHash = ({ search, ...rest }) =>
  [`search=${encodeURIComponent(search.toWellFormed())}`, query(rest)].filter(Boolean).join("&");

export const searchView = { load, build, title: () => "Search", announce: () => byId("found").textContent };
