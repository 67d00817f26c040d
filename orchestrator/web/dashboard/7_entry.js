// One entry's story: what it is, and every submission of it, the latest first.

async function loadEntry({ id }, signal) {
  const entry = await api.entry(id, signal).catch(orNone);
  if (entry === null || !waits(entry)) return { id, entry };
  const { waiting } = await api.waiting(REASON_ROWS, signal, entry.workspace);
  const beyond = waiting.length === REASON_ROWS ? "beyond" : undefined;
  return { id, entry: { ...entry, reason: waiting.find((one) => one.id === entry.id)?.reason ?? beyond } };
}

const waits = ({ status: state }) => state === "PENDING" || state === "FAILED";

function buildEntry({ id, entry }) {
  const back = h("p", {}, h("a", { href: "#now", "data-key": "back", click: goBack }, "‹ Back"));
  if (entry === null) return [back, h("p", { class: "card empty" }, `There is no entry ${id}; it may have been purged.`)];
  return [
    back,
    h("section", { class: "card", "aria-label": "Entry" },
      h("div", { class: "title" }, h("h2", {}, entry.table_name), status(entry.status), h("span", { class: "quiet" }, `entry ${entry.id}`)),
      entry.last_error && h("p", { class: "message" }, entry.last_error),
      h("dl", { class: "facts" }, facts(entry).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      h("div", { class: "buttons" }, actions(entry, "big"))),
    h("section", { class: "card", "aria-label": "Runs" },
      h("h2", {}, "Submissions, latest first", h("span", { class: "quiet" }, many(entry.runs.length, "ended", "ended"))),
      entry.runs.length === 0 && !inFlight(entry)
        ? h("p", { class: "empty" }, "No submission has ended yet.")
        : h("ol", { class: "runs" },
          inFlight(entry) && flightItem(entry),
          entry.runs.toSorted((one, other) => other.submission - one.submission).map(runItem))),
  ];
}

const inFlight = ({ status: state }) => state === "QUEUED" || state === "RUNNING";

function goBack(event) {
  if (history.length < 2) return; // opened by its address: the link leads to the first view
  event?.preventDefault();
  history.back();
}

function facts(entry) {
  const limit = entry.max_attempts === 0 ? "no limit" : entry.max_attempts === null ? "the default limit" : entry.max_attempts;
  return [
    ["Workspace", entry.workspace],
    ["Job", entry.job_id === null ? "the workspace’s" : String(entry.job_id)],
    ["Attempt", `${entry.attempt} (limit: ${limit})`],
    ["Submission", String(entry.submission)],
    ["Priority", String(entry.priority)],
    ["Inserted", when(entry.created_at)],
    ["Submitted", when(entry.submitted_at)],
    ["Last change", when(entry.updated_at)],
    ...(waits(entry)
      ? [["Not before", when(entry.available_at)], ...(entry.reason ? [["Waits", reason(entry)]] : [])]
      : [["Finished", when(entry.finished_at)]]),
    ...(entry.run_id === null ? [] : [[waits(entry) ? "Last run" : "Run", runLink(entry)]]),
    ...(entry.cancel_requested ? [["Cancellation", "asked for"]] : []),
  ];
}

const runTitle = (id, page) => (page ? outside(page, `run ${id} in Databricks ↗`) : h("span", { class: "quiet" }, `run ${id}`));

// The submission under way: nothing is known of it yet but when it began and where to look.
function flightItem(entry) {
  const runs = entry.status === "RUNNING";
  return h("li", { class: "card" },
    h("div", { class: "title" },
      h("strong", {}, `Submission ${entry.submission}${runs ? `, attempt ${entry.attempt}` : ""}`), status(entry.status),
      runs && runTitle(entry.run_id, entry.run_page_url)),
    h("p", { class: "quiet" },
      runs ? ["submitted ", age(entry.submitted_at ?? entry.updated_at, { suffix: " ago" })] : "waits to be accepted by Databricks"));
}

function runItem(run) {
  const failed = run.status !== "DONE";
  const how = [run.result_state, run.termination_code].filter((word, at, all) => word && all.indexOf(word) === at).join(", ");
  const lengths = [["queued", run.queue_seconds], ["set up", run.setup_seconds], ["ran", run.execution_seconds]]
    .filter(([, seconds]) => seconds !== null).map(([word, seconds]) => `${word} ${span(seconds)}`);
  return h("li", { class: "card" },
    h("div", { class: "title" }, h("strong", {}, `Submission ${run.submission}, attempt ${run.attempt}`), status(run.status),
      run.run_id === null ? h("span", { class: "quiet" }, "no run") : runTitle(run.run_id, run.run_page_url)),
    h("p", { class: "quiet" },
      run.started_at ? [when(run.started_at), " – ", when(run.finished_at)] : ["ended ", when(run.finished_at)],
      lengths.length ? `; ${lengths.join(", ")}` : "", how ? `; ${how}` : ""),
    run.message && h("p", { class: failed ? "message" : "quiet" }, run.message),
    run.error_trace && h("details", { "data-key": `trace-${run.submission}` }, h("summary", {}, "Trace"), h("pre", { tabindex: 0 }, run.error_trace)));
}
