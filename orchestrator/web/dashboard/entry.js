// The story of one entry: its facts, and every submission, the latest first.

import { actionButtons } from "./actions.js";
import { api, nullIfNotFound } from "./api.js";
import { breakable, externalLink, h, statusBadge, statusBadges } from "./dom.js";
import { isInFlight, isWaiting, runLink } from "./entries.js";
import { age, count, duration, localTime } from "./format.js";
import { loadAndShow } from "./refresh.js";
import { MAX_REASONS, explainWait } from "./waiting.js";

async function load({ id }, signal) {
  const entry = await api.entry(id, signal).catch(nullIfNotFound);
  if (entry === null || !isWaiting(entry)) return { id, entry };
  const { waiting } = await api.waiting(MAX_REASONS, signal, entry.workspace);
  const beyond = waiting.length === MAX_REASONS ? "beyond" : undefined;
  return { id, entry: { ...entry, reason: waiting.find((other) => other.id === entry.id)?.reason ?? beyond } };
}

const missing = (id) => `There is no entry ${id}`;

// Add the runs before those that are shown. The refresh pauses: it would cut the list back to the last ones.
const loadEarlier = ({ id, entry }) =>
  loadAndShow(async (signal) => {
    const { runs, runs_before } = await api.entry(id, signal, entry.runs_before);
    return { id, entry: { ...entry, runs: [...runs, ...entry.runs], runs_before }, paused: true };
  });

function build(data) {
  const { id, entry } = data;
  const back = h("p", {}, h("a", { href: "#now", "data-key": "back", click: goBack }, "‹ Back"));
  if (entry === null) return [back, h("p", { class: "card empty" }, `${missing(id)}; it may have been purged.`)];
  return [
    back,
    h("section", { class: "card", "aria-label": "Entry" },
      h("div", { class: "title" },
        h("h2", {}, breakable(entry.table_name)), statusBadges(entry), h("span", { class: "quiet" }, `entry ${entry.id}`)),
      entry.last_error && h("p", { class: "message" }, entry.last_error),
      h("dl", { class: "facts" }, facts(entry).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      h("div", { class: "buttons" }, actionButtons(entry, "big"))),
    h("section", { class: "card", "aria-label": "Runs" },
      h("h2", {}, "Submissions, latest first", h("span", { class: "quiet" }, `${entry.runs_before === null ? "" : "the last "}${count(entry.runs.length)} ended`)),
      entry.runs.length === 0 && !isInFlight(entry)
        ? h("p", { class: "empty" }, "No submission has ended yet.")
        : h("ol", { class: "runs" },
          isInFlight(entry) && currentSubmission(entry),
          entry.runs.toSorted((one, other) => other.submission - one.submission).map(endedSubmission)),
      entry.runs_before !== null && h("div", { class: "buttons" },
        h("button", { type: "button", "data-key": "earlier", click: () => loadEarlier(data) }, "Show earlier"))),
  ];
}

// Go back to where the entry was opened. Without a history, let the link lead to the first view.
export function goBack(event) {
  if (history.length < 2) return;
  event?.preventDefault();
  history.back();
}

function attemptLimit({ max_attempts: limit }) {
  if (limit === 0) return "no limit";
  return limit === null ? "default limit" : `limit: ${limit}`;
}

const STOP_REASONS = {
  RUN_TIMEOUT: "it took too long", QUEUE_TIMEOUT: "it waited too long in Databricks", RESTART: "to start anew",
};

const limitFact = (name, seconds) => (seconds === null ? [] : [[name, seconds === 0 ? "none" : duration(seconds)]]);

function facts(entry) {
  return [
    ["Workspace", breakable(entry.workspace)],
    ["Job", String(entry.job_id ?? entry.job_name ?? "the workspace’s default")],
    ["Attempt", `${entry.attempt} (${attemptLimit(entry)})`],
    ["Submission", String(entry.submission)],
    ["Priority", String(entry.priority)],
    ["Inserted", localTime(entry.created_at)],
    ["Submitted", localTime(entry.submitted_at)],
    ["Last change", localTime(entry.updated_at)],
    ...(isWaiting(entry)
      ? [["Not before", localTime(entry.available_at)], ...(entry.reason ? [["Why it waits", explainWait(entry)]] : [])]
      : [["Finished", localTime(entry.finished_at)]]),
    ...(entry.run_id === null ? [] : [[isWaiting(entry) ? "Last run" : "Run", runLink(entry)]]),
    ...(entry.overdue ? [["Overdue", `runs of this table usually take ${duration(entry.usual_seconds)}`]] : []),
    ...(entry.missing_since ? [["Missing in Databricks", `since ${localTime(entry.missing_since)}`]] : []),
    ...(entry.unreadable_since ? [["Cannot be read or cancelled", `since ${localTime(entry.unreadable_since)}`]] : []),
    ...(entry.run_state ? [["State in Databricks", `${entry.run_state} since ${localTime(entry.run_state_since)}`]] : []),
    ...(entry.cancel_requested ? [["Cancellation", "requested"]] : []),
    ...(entry.cancel_asked_at ? [["Databricks was asked to cancel it", localTime(entry.cancel_asked_at)]] : []),
    ...(entry.stop_reason && !isWaiting(entry) ? [["Being cancelled", STOP_REASONS[entry.stop_reason] ?? entry.stop_reason]] : []),
    ...(entry.retry_mode ? [["Retry", entry.retry_mode]] : []),
    ...(entry.options ? [["Options", entry.options]] : []),
    ...limitFact("Limit of the run", entry.run_timeout_seconds),
    ...limitFact("Limit of its queueing", entry.queue_timeout_seconds),
  ];
}

const runTitle = (id, page) =>
  page ? externalLink(page, `run ${id} in Databricks ↗`) : h("span", { class: "quiet" }, `run ${id}`);

// The submission in flight. Only its start and the link to its run are known so far.
function currentSubmission(entry) {
  const isRunning = entry.status === "RUNNING";
  return h("li", { class: "card" },
    h("div", { class: "title" },
      h("strong", {}, `Submission ${entry.submission}${isRunning ? `, attempt ${entry.attempt}` : ""}`),
      statusBadge(entry.status),
      isRunning && runTitle(entry.run_id, entry.run_page_url)),
    h("p", { class: "quiet" }, isRunning
      ? ["submitted ", age(entry.submitted_at ?? entry.updated_at, { suffix: " ago" })]
      : "waiting for Databricks to accept it"));
}

function endedSubmission(run) {
  const hasFailed = run.status !== "DONE";
  return h("li", { class: "card" },
    h("div", { class: "title" },
      h("strong", {}, `Submission ${run.submission}, attempt ${run.attempt}`), statusBadge(run.status),
      run.run_id === null ? h("span", { class: "quiet" }, "no run") : runTitle(run.run_id, run.run_page_url)),
    h("p", { class: "quiet" },
      run.started_at ? [localTime(run.started_at), " – ", localTime(run.finished_at)]
        : run.finished_at ? ["ended ", localTime(run.finished_at)] : "ended",
      [phases(run), result(run)].filter(Boolean).map((part) => `; ${part}`)),
    run.message && h("p", { class: hasFailed ? "message" : "quiet" }, run.message),
    run.result && h("details", { "data-key": `result-${run.submission}` },
      h("summary", {}, "Exit value"), h("pre", { tabindex: 0 }, run.result)),
    run.error_trace && h("details", { "data-key": `trace-${run.submission}` },
      h("summary", {}, "Trace"), h("pre", { tabindex: 0 }, run.error_trace)));
}

// How long a run was queued, set up and executed.
const phases = (run) =>
  [["queued", run.queue_seconds], ["setup", run.setup_seconds], ["ran", run.execution_seconds]]
    .filter(([, seconds]) => seconds !== null).map(([phase, seconds]) => `${phase} ${duration(seconds)}`).join(", ");

// How Databricks says that a run ended. Both fields often hold the same word.
const result = ({ result_state: state, termination_code: code }) => [...new Set([state, code])].filter(Boolean).join(", ");

const announce = ({ id, entry }) => (entry ? `Entry ${id} is ${entry.status}` : missing(id));

export const entryView = { load, build, announce, title: ({ id }) => `Entry ${id}` };
