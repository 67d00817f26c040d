// Calls the HTTP API. The function key comes from the page's own ?code= and is stored nowhere else.

const KEY = new URLSearchParams(location.search).get("code");
const TIMEOUT_MS = 20_000;

// The most entries that one retry or cancel over a search changes: the API's own limit.
const BULK_LIMIT = 1000;

export class ApiError extends Error {
  constructor(message, status = 0, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

function explain(status, body) {
  if (status === 401 || status === 403)
    return "The API does not accept the key. Open this page with ?code= and a function key of the app.";
  return [body?.title ?? `The API responded with status ${status}`, body?.detail].filter(Boolean).join(": ");
}

// Call the API and return its JSON. Throws an ApiError that says what went wrong.
async function call(path, { method = "GET", body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (KEY) headers["x-functions-key"] = KEY;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signals = [AbortSignal.timeout(TIMEOUT_MS), signal].filter(Boolean);
  let response;
  let content = null;
  try {
    response = await fetch(new URL(path, location.href), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(signals), cache: "no-store", credentials: "same-origin",
    });
    content = await response.json().catch((error) => { if (error.name !== "SyntaxError") throw error; });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(error.name === "TimeoutError" ? "The API did not respond in time" : "The API cannot be reached");
  }
  if (!response.ok) throw new ApiError(explain(response.status, content), response.status, content);
  if (content === null || content === undefined)
    throw new ApiError("The API's response is not valid JSON", response.status);
  return content;
}

// Make a query string. A list repeats its name; null, undefined and "" are left out.
export function query(values) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") made.append(name, one);
  return made.toString();
}

// Turn "404 Not Found" into null; for catch().
export function nullIfNotFound(error) {
  if (error.status === 404) return null;
  throw error;
}

// Paths are relative to /api/dashboard, so that another route prefix works as well.
export const api = {
  status: (signal) => call("status", { signal }),
  health: (signal) =>
    call("health", { signal }).catch((error) => {
      if (Array.isArray(error.body?.reasons)) return error.body; // 503 with reasons: the app is unhealthy, the call worked
      throw error;
    }),
  entries: (filter, signal) => call(`entries?${query(filter)}`, { signal }),
  entry: (id, signal, before) =>
    call(`entries/${encodeURIComponent(id)}${before ? `?${query({ before })}` : ""}`, { signal }),
  waiting: (limit, signal, workspace) => call(`waiting?${query({ limit, workspace })}`, { signal }),
  history: (hours, signal) => call(`history?${query({ hours })}`, { signal }),
  tables: (days, limit, signal) => call(`tables?${query({ days, limit })}`, { signal }),
  change: (verb, id, body) => call(`entries/${encodeURIComponent(id)}/${verb}`, { method: "POST", body }),
  changeAll: (verb, filter, dryRun, more = {}) =>
    call(verb, { method: "POST", body: { filter, dry_run: dryRun, limit: BULK_LIMIT, ...more } }),
  pass: () => call("trigger", { method: "POST", body: {} }),
};
