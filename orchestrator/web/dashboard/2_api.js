// The only way to the server. The function key is the page's own ?code=; it is kept nowhere else.

const KEY = new URLSearchParams(location.search).get("code");
const TIMEOUT_MS = 20_000;

class ApiError extends Error {
  constructor(message, status = 0, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

function explained(status, body) {
  if (status === 401 || status === 403)
    return "The API does not accept the key. Open this page with ?code= and a function key of the app.";
  return [body?.title ?? `The API answered ${status}`, body?.detail].filter(Boolean).join(": ");
}

// Call the API and return its JSON. Throws an ApiError that says what is wrong.
async function call(path, { method = "GET", body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (KEY) headers["x-functions-key"] = KEY;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const limits = [AbortSignal.timeout(TIMEOUT_MS), signal].filter(Boolean);
  let answer;
  let content = null;
  try {
    answer = await fetch(new URL(path, location.href), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(limits), cache: "no-store", credentials: "same-origin",
    });
    content = await answer.json().catch((error) => { if (error.name !== "SyntaxError") throw error; });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(error.name === "TimeoutError" ? "The API did not answer in time" : "The API cannot be reached");
  }
  if (!answer.ok) throw new ApiError(explained(answer.status, content), answer.status, content);
  if (content === null || content === undefined) throw new ApiError("The API's answer is not JSON", answer.status);
  return content;
}

// Make a query string; lists repeat their name, nothing is left out.
function query(values) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") made.append(name, one);
  return made.toString();
}

// Relative to /api/dashboard, so that another route prefix works as well.
const api = {
  status: (signal) => call("status", { signal }),
  health: (signal) =>
    call("health", { signal }).catch((error) => {
      if (Array.isArray(error.body?.reasons)) return error.body; // 503 with its reasons is an answer
      throw error;
    }),
  entries: (filter, signal) => call(`entries?${query(filter)}`, { signal }),
  entry: (id, signal) => call(`entries/${encodeURIComponent(id)}`, { signal }),
  waiting: (limit, signal, workspace) => call(`waiting?${query({ limit, workspace })}`, { signal }),
  history: (hours, signal) => call(`history?${query({ hours })}`, { signal }),
  tables: (days, limit, signal) => call(`tables?${query({ days, limit })}`, { signal }),
  change: (verb, id, expected) => call(`entries/${encodeURIComponent(id)}/${verb}`, { method: "POST", body: expected }),
  changeAll: (verb, filter, dryRun) =>
    call(verb, { method: "POST", body: { filter, dry_run: dryRun, limit: BULK_LIMIT } }),
  pass: () => call("trigger", { method: "POST", body: {} }),
};

// The most rows that one retry or cancel over a search changes; the API's own limit.
const BULK_LIMIT = 1000;
