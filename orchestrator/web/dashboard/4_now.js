// Is it well? What failed? What runs since when? What waits and why?

const NOW_ROWS = 8;
const REASON_ROWS = 100; // of the waiting rows, those whose reasons are counted
const HOUR_MS = 3_600_000;

async function loadNow(_, signal) {
  const [statuses, health] = await Promise.all([api.status(signal), api.health(signal)]);
  clockOffset = Date.parse(statuses.now) - Date.now();
  const { workspaces, passes } = statuses;
  const any = (...states) => workspaces.some((one) => states.some((name) => one.states[name] > 0));
  // Whole minutes, so that the same rows are the same data.
  const since = new Date(Math.floor(now() / 60_000) * 60_000 - 24 * HOUR_MS).toISOString();
  const recent = { since, sort: "-updated", limit: NOW_ROWS };
  const [failed, running, waiting] = await Promise.all([
    api.entries({ state: ["FAILED", "DEAD"], ...recent }, signal),
    any("QUEUED", "RUNNING")
      ? api.entries({ state: ["QUEUED", "RUNNING"], sort: "updated", limit: NOW_ROWS }, signal)
      : { entries: [] },
    any("PENDING", "FAILED") ? api.waiting(REASON_ROWS, signal) : { waiting: [] },
  ]);
  return {
    health, workspaces, passes,
    failed: failed.entries, running: running.entries, waiting: waiting.waiting,
  };
}

const total = (workspaces, ...names) =>
  workspaces.reduce((sum, { states }) => sum + names.reduce((part, name) => part + (states[name] ?? 0), 0), 0);
const ended = (workspaces, field, name) => workspaces.reduce((sum, one) => sum + (one[field][name] ?? 0), 0);

function buildNow(data) {
  const names = data.workspaces.map(({ name }) => name);
  return [
    h("h2", { class: "hidden" }, "Now"),
    h("section", { class: "columns", "aria-label": "Summary" }, wellCard(data), failedCard(data), waitingCard(data)),
    h("section", { class: "columns", "aria-label": "Workspaces" }, data.workspaces.map(workspaceCard)),
    h("section", { class: "card" },
      h("h2", {}, "Failed in the last 24 hours", h("a", { href: "#search=&state=FAILED,DEAD&since=24h" }, "all of them")),
      failedRows(data.failed, names)),
    h("section", { class: "columns wide" },
      h("div", { class: "card" },
        h("h2", {}, "In flight", h("a", { href: "#search=&state=QUEUED,RUNNING" }, "all of them")),
        runningRows(data.running, names)),
      h("div", { class: "card" },
        h("h2", {}, "Waiting, next first", h("a", { href: "#search=&state=PENDING,FAILED" }, "all of them")),
        waitingRows(data, names))),
  ];
}

const answer = (kind, question, figure, ...more) =>
  h("div", { class: `card answer is-${kind}` }, h("h2", {}, question),
    h("p", { class: "figure", "data-well": question === WELL }, figure), ...more);

const WELL = "Is it well?";

function wellCard({ health, passes }) {
  const reasons = health.reasons ?? [];
  const functions = passes.map((pass) => h("span", { class: pass.late ? "bad" : null },
    `${pass.name} `, pass.started_at ? age(pass.started_at, { suffix: " ago" }) : "never",
    pass.outcome && pass.outcome !== "ok" ? `: ${pass.outcome}` : "", pass.late ? " (late)" : ""));
  return answer(reasons.length ? "bad" : "good", WELL, reasons.length ? "Needs attention" : "All is well",
    reasons.length > 0 && h("ul", {}, reasons.map((reason) => h("li", {}, reason))),
    h("p", { class: "quiet legend" }, functions.length ? functions : "No pass yet."));
}

function failedCard({ workspaces }) {
  const dead = ended(workspaces, "finished_last_day", "DEAD");
  const again = total(workspaces, "FAILED");
  const done = ended(workspaces, "finished_last_day", "DONE");
  return answer(dead ? "bad" : again ? "warn" : "good", "What failed?",
    dead ? `${count(dead)} dead in 24 h` : again ? `${count(again)} to be tried again` : "Nothing",
    h("p", { class: "quiet" },
      dead && again ? `${count(again)} failed and will be tried again. ` : "",
      `${count(done)} done in 24 h, ${count(ended(workspaces, "finished_last_hour", "DONE"))} in the last hour.`));
}

function waitingCard({ workspaces, waiting }) {
  const rows = total(workspaces, "PENDING", "FAILED");
  const reasons = [...Map.groupBy(waiting, (entry) => entry.reason)];
  const oldest = Math.max(0, ...workspaces.map((one) => one.oldest_waiting_seconds ?? 0));
  return answer(rows ? "warn" : "good", "What waits, and why?", rows ? `${many(rows, "entry", "entries")}` : "Nothing",
    rows > 0 && h("p", { class: "quiet" },
      waiting.length < rows ? `Of the next ${waiting.length}, ` : "",
      reasons.map(([name, some]) => `${some.length} ${REASONS[name] ?? name}`).join(", "),
      `. The oldest has waited ${span(oldest)}.`),
    rows === 0 && h("p", { class: "quiet" }, "Every row has been claimed."));
}

function workspaceCard({ name, cap, active, states, finished_last_day: day, finished_last_hour: hour }) {
  const known = active.error === null;
  const used = active.ours + active.foreign;
  const slots = cap === null ? "?" : count(cap); // the settings do not know the workspace
  const counts = ["PENDING", "QUEUED", "RUNNING", "FAILED"].map((state) => [state, states[state]]);
  const ends = ["DONE", "DEAD", "CANCELED"].map((state) => [`${state} in 24 h`, day[state], hour[state]]);
  return h("div", { class: "card workspace", "data-workspace": name },
    h("h2", {}, name, h("span", { class: "quiet" }, `${known ? "" : "at least "}${count(used)} of ${slots} slots in use`)),
    h("div", {
      class: "gauge", role: "meter", "aria-label": `Active runs in ${name}`,
      "aria-valuemin": 0, "aria-valuemax": cap ?? used, "aria-valuenow": used,
      "aria-valuetext": `${active.ours} ours and ${known ? active.foreign : "an unknown number of"} others' of ${slots}`,
    }, share("ours", active.ours, cap), share("foreign", active.foreign, cap)),
    h("p", { class: known ? "legend quiet" : "legend bad" },
      h("span", {}, h("span", { class: "key ours" }), `${count(active.ours)} ours`),
      h("span", {}, h("span", { class: "key foreign" }), known ? `${count(active.foreign)} others’` : `others’ unknown: ${active.error}`),
      known && h("span", {}, `${count(Math.max(0, cap - used))} free`)),
    h("dl", { class: "states" },
      [...counts, ...ends].map(([label, number, last]) =>
        h("div", { title: last === undefined ? null : `${count(last)} in the last hour` },
          h("dt", {}, label), h("dd", {}, count(number))))));
}

const failedRows = (entries, names) =>
  entries.length === 0
    ? h("p", { class: "empty" }, "Nothing failed.")
    : entryTable(entries, [
      ...workspaceColumn(names), errorColumn,
      { name: "Attempt", kind: "attempt", cell: (entry) => entry.attempt },
      { name: "When", cell: (entry) => when(entry.updated_at) },
    ], { label: "Failed lately" });

const runningRows = (entries, names) =>
  entries.length === 0
    ? h("p", { class: "empty" }, "Nothing runs.")
    : entryTable(entries, [
      ...workspaceColumn(names),
      { name: "Since", cell: (entry) => age(entry.submitted_at ?? entry.updated_at) },
      runColumn,
    ], { label: "In flight" });

const REASONS = {
  cap: "without a free slot", "back-off": "held back", "same table": "behind another of their table", cancel: "to be cancelled",
  next: "for the next pass", unreachable: "for Databricks to answer",
  attempts: "with no attempts left",
};

// Why one entry waits.
function reason(entry) {
  switch (entry.reason) {
    case "cap": return "no free slot: the cap is reached";
    case "back-off": return ["not before ", when(entry.available_at), entry.attempt > 0 ? " (back-off)" : ""];
    case "same table": return "another entry of this table is in flight or comes first";
    case "cancel": return "is about to be cancelled";
    case "next": return "is claimed at the next pass";
    case "attempts": return "its attempts are spent: the limit was lowered, and only a retry runs it again";
    case "beyond": return `behind ${REASON_ROWS} others`;
    case "unreachable": return "Databricks cannot be asked what is active, so nothing is claimed";
    default: return entry.reason;
  }
}

function waitingRows({ waiting, workspaces }, names) {
  if (waiting.length > 0)
    return entryTable(waiting.slice(0, NOW_ROWS), [...workspaceColumn(names), { name: "Why", cell: reason, kind: "why" }], { label: "Waiting" });
  const fresh = workspaces.every((one) => total([one], "QUEUED", "RUNNING") === 0 &&
    ["DONE", "DEAD", "CANCELED"].every((name) => !one.finished_last_day[name]));
  return h("p", { class: "empty" }, "Nothing waits.",
    fresh && [" A row is all it takes: ", h("code", {}, "INSERT INTO track_processing (table_name) VALUES ('sales')")]);
}
