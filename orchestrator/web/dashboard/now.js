// The first view: is the app healthy, what failed, what is in flight, and what is waiting and why.

import { api } from "./api.js";
import { breakable, h, segment } from "./dom.js";
import { entryTable, errorColumn, runColumn, workspaceColumns } from "./entries.js";
import { age, count, duration, hoursAgo, localTime, plural, setServerTime } from "./format.js";
import { MAX_REASONS, explainWait, summarize } from "./waiting.js";

const MAX_ENTRIES = 8; // in each list

async function load(_, signal) {
  const [status, health] = await Promise.all([api.status(signal), api.health(signal)]);
  setServerTime(status.now);
  const { workspaces, passes } = status;
  const any = (...states) => total(workspaces, ...states) > 0;
  const recent = { since: hoursAgo(24), sort: "-updated", limit: MAX_ENTRIES };
  const [failed, inFlight, waiting] = await Promise.all([
    api.entries({ state: ["FAILED", "DEAD"], ...recent }, signal),
    any("QUEUED", "RUNNING")
      ? api.entries({ state: ["QUEUED", "RUNNING"], sort: "updated", limit: MAX_ENTRIES }, signal)
      : { entries: [] },
    any("PENDING", "FAILED") ? api.waiting(MAX_REASONS, signal) : { waiting: [] },
  ]);
  return {
    health, workspaces, passes,
    failed: failed.entries, inFlight: inFlight.entries, waiting: waiting.waiting,
  };
}

const total = (workspaces, ...states) =>
  workspaces.reduce((sum, workspace) => sum + states.reduce((part, state) => part + (workspace.states[state] ?? 0), 0), 0);
const totalFinished = (workspaces, period, state) =>
  workspaces.reduce((sum, workspace) => sum + (workspace[period][state] ?? 0), 0);

function build(data) {
  const names = data.workspaces.map(({ name }) => name);
  return [
    h("h2", { class: "hidden" }, "Now"),
    h("section", { class: "columns", "aria-label": "Summary" }, healthCard(data), failedCard(data), waitingCard(data)),
    h("section", { class: "columns", "aria-label": "Workspaces" }, withCards(data.workspaces).map(workspaceCard)),
    h("section", { class: "card" },
      h("h2", {}, "Failed in the last 24 hours", showAll("search=&state=FAILED,DEAD&since=24h")),
      failedTable(data.failed, names)),
    h("section", { class: "columns wide" },
      h("div", { class: "card" },
        h("h2", {}, "In flight", showAll("search=&state=QUEUED,RUNNING")),
        inFlightTable(data.inFlight, names)),
      h("div", { class: "card" },
        h("h2", {}, "Waiting, next first", showAll("search=&state=PENDING,FAILED")),
        waitingTable(data, names))),
  ];
}

// A workspace that the settings do not name has no cap. Health names it while entries of it are open, and they are in
// the tables; a card with its name only repeats a typing error for a day. Without complete settings no cap is known.
const withCards = (workspaces) => {
  const named = workspaces.filter(({ cap }) => cap !== null);
  return named.length > 0 ? named : workspaces;
};

const showAll = (hash) => h("a", { href: `#${hash}` }, "show all");

const summaryCard = (kind, question, figure, ...more) =>
  h("div", { class: `card summary is-${kind}` }, h("h2", {}, question), figure, ...more);

const figure = (text, attributes = {}) => h("p", { class: "figure", ...attributes }, text);

// How the app is: green only if health has no reason, every workspace answers and the last passes met no problem.
function verdict({ health, passes, workspaces }) {
  if (health.status !== "ok") return { kind: "bad", words: "Needs attention" };
  const silent = workspaces.filter(({ cap, active }) => cap !== null && active.error !== null);
  if (silent.length > 0)
    return { kind: "warn", words: `${plural(silent.length, "workspace does", "workspaces do")} not answer` };
  if (passes.some(({ late, outcome }) => late || hasProblems(outcome)))
    return { kind: "warn", words: "The last pass had problems" };
  return { kind: "good", words: "Healthy" };
}

const hasProblems = (outcome) => Boolean(outcome) && outcome !== "ok";

function healthCard(data) {
  const { kind, words } = verdict(data);
  const reasons = data.health.reasons ?? [];
  return summaryCard(kind, "Is it healthy?",
    figure(words, { "data-health": true }),
    reasons.length > 0 && h("ul", {}, reasons.map((reason) => h("li", {}, breakable(reason)))),
    data.passes.length ? data.passes.map(lastPass) : h("p", { class: "quiet" }, "No pass yet."));
}

const lastPass = ({ name, started_at: began, outcome, asked_by: askedBy, late }) =>
  h("p", { class: late ? "bad clip" : "quiet clip", title: hasProblems(outcome) ? outcome : null },
    `${name} `, began ? age(began, { suffix: " ago" }) : "never", late ? " (late)" : "",
    askedBy && askedBy !== "timer" ? ` (${askedBy})` : "",
    hasProblems(outcome) ? [": ", breakable(outcome)] : "");

function failedCard({ workspaces }) {
  const dead = totalFinished(workspaces, "finished_last_day", "DEAD");
  const failed = total(workspaces, "FAILED");
  const done = totalFinished(workspaces, "finished_last_day", "DONE");
  const doneLastHour = totalFinished(workspaces, "finished_last_hour", "DONE");
  return summaryCard(dead ? "bad" : failed ? "warn" : "good", "What failed?",
    figure(dead ? `${count(dead)} dead in 24 h` : failed ? `${count(failed)} to be retried` : "Nothing"),
    h("p", { class: "quiet" },
      dead && failed ? `${count(failed)} failed and will be retried. ` : "",
      `${count(done)} done in 24 h, ${count(doneLastHour)} in the last hour.`));
}

function waitingCard({ workspaces, waiting }) {
  const number = total(workspaces, "PENDING", "FAILED");
  const byReason = [...Map.groupBy(waiting, ({ reason }) => reason)];
  const waits = workspaces.map((workspace) => workspace.oldest_waiting_seconds).filter((seconds) => seconds !== null);
  return summaryCard(number ? "warn" : "good", "What is waiting, and why?",
    figure(number ? plural(number, "entry", "entries") : "Nothing"),
    number > 0 && h("p", { class: "quiet" },
      waiting.length < number ? `Of the next ${waiting.length}: ` : "",
      byReason.map(([reason, entries]) => summarize(reason, entries.length)).join(", "),
      waits.length ? `. The oldest has waited ${duration(Math.max(...waits))}.` : "."),
    number === 0 && h("p", { class: "quiet" }, "Every entry has been claimed."));
}

function workspaceCard({ name, cap, active, states, finished_last_day: day, finished_last_hour: hour }) {
  const isKnown = active.error === null;
  const used = active.ours + active.foreign;
  const slots = cap === null ? "?" : count(cap); // without complete settings there is none
  const foreign = isKnown ? plural(active.foreign, "foreign run") : "an unknown number of foreign runs";
  return h("div", { class: "card workspace", "data-workspace": name },
    h("h2", {}, h("span", { class: "name" }, breakable(name)), h("span", { class: "quiet" }, `${isKnown ? "" : "at least "}${count(used)} of ${slots} slots in use`)),
    h("div", {
      class: "gauge", role: "meter", "aria-label": `Active runs in ${name}`,
      "aria-valuemin": 0, "aria-valuemax": cap ?? used, "aria-valuenow": used,
      "aria-valuetext": `${active.ours} ours and ${foreign} in ${slots} slots`,
    }, segment("ours", active.ours, cap), segment("foreign", active.foreign, cap)),
    h("p", { class: isKnown ? "legend quiet" : "legend bad" },
      h("span", {}, h("span", { class: "key ours" }), `${count(active.ours)} ours`),
      h("span", {}, h("span", { class: "key foreign" }),
        isKnown ? `${count(active.foreign)} foreign` : ["foreign runs unknown: ", breakable(active.error)]),
      active.foreign_queued > 0 && h("span", {}, `${count(active.foreign_queued)} foreign in Databricks’ queue`),
      isKnown && h("span", {}, `${count(Math.max(0, cap - used))} free`)),
    stateCounts(states, day, hour));
}

function stateCounts(states, day, hour) {
  const current = ["PENDING", "QUEUED", "RUNNING", "FAILED"].map((state) => [state, states[state]]);
  const finished = ["DONE", "DEAD", "CANCELED"].map((state) => [`${state} in 24\u00a0h`, day[state], hour[state]]);
  return h("dl", { class: "states" },
    [...current, ...finished].map(([label, number, lastHour]) =>
      h("div", { title: lastHour === undefined ? null : `${count(lastHour)} in the last hour` },
        h("dt", {}, label), h("dd", {}, count(number)))));
}

const failedTable = (entries, names) =>
  entries.length === 0
    ? h("p", { class: "empty" }, "Nothing failed.")
    : entryTable(entries, [
      ...workspaceColumns(names), errorColumn,
      { name: "Attempt", kind: "attempt", cell: ({ attempt }) => attempt },
      { name: "When", kind: "when", cell: ({ updated_at: at }) => localTime(at) },
    ], { label: "Recent failures" });

const inFlightTable = (entries, names) =>
  entries.length === 0
    ? h("p", { class: "empty" }, "Nothing is in flight.")
    : entryTable(entries, [
      ...workspaceColumns(names),
      { name: "Since", kind: "since", cell: (entry) => age(entry.submitted_at ?? entry.updated_at) },
      runColumn,
    ], { label: "In flight" });

function waitingTable({ waiting, workspaces }, names) {
  if (waiting.length > 0)
    return entryTable(waiting.slice(0, MAX_ENTRIES),
      [...workspaceColumns(names), { name: "Why", cell: explainWait, kind: "why" }], { label: "Waiting" });
  return h("p", { class: "empty" }, "Nothing is waiting.",
    isUnused(workspaces) &&
      [" To start a run, insert a row: ", h("code", {}, "INSERT INTO track_processing (table_name) VALUES ('sales')")]);
}

const isUnused = (workspaces) =>
  total(workspaces, "QUEUED", "RUNNING") === 0 &&
  ["DONE", "DEAD", "CANCELED"].every((state) => totalFinished(workspaces, "finished_last_day", state) === 0);

function announce(data) {
  const [, failed, waiting] = [...document.querySelectorAll(".summary .figure")].map(({ textContent }) => textContent);
  return `${verdict(data).words}. Failed: ${failed}. Waiting: ${waiting}.`;
}

export const nowView = { load, build, announce, title: () => "Now" };
