// Puts into words why entries wait. The API gives a code for each waiting entry.

import { localTime } from "./format.js";

// How many waiting entries are asked for their reasons.
export const MAX_REASONS = 100;

// After a number of entries: "3 waiting for a free slot".
const SUMMARIES = {
  cap: "waiting for a free slot",
  "back-off": "not due yet",
  "same table": "waiting for another entry of the same table",
  cancel: "about to be cancelled",
  job: "waiting for their job, which is full",
  "active run": "waiting for a run that no entry follows",
  refused: "waiting for a job that is refused",
  next: "due at the next pass",
  workspace: "waiting for their workspace, which the settings do not know",
  unreachable: "waiting for Databricks to respond",
  elsewhere: "waiting because their workspace has runs at another address",
  attempts: "with no attempts left",
};

export const summarize = (reason, number) => `${number} ${SUMMARIES[reason] ?? reason}`;

// Explain why one entry waits. "beyond" is this page's own code: the entry is not among the first MAX_REASONS.
export function explainWait(entry) {
  switch (entry.reason) {
    case "cap": return "no free slot: the cap is reached";
    case "back-off": return ["not before ", localTime(entry.available_at), entry.attempt > 0 ? " (back-off)" : ""];
    case "same table": return "another entry of this table is in flight or comes first";
    case "job": return "its job already has as many runs as it may have at a time";
    case "active run": return "a run of this table that no entry follows is active in Databricks";
    case "refused": return "its job is refused, for a reason that is not this entry's";
    case "cancel": return "about to be cancelled";
    case "next": return "due at the next pass";
    case "attempts": return "no attempts left: the limit was lowered, and the next pass ends it";
    case "beyond": return `behind ${MAX_REASONS} other entries`;
    case "workspace": return "the settings do not know its workspace";
    case "unreachable": return "Databricks does not say which runs are active, so nothing is claimed";
    case "elsewhere": return "this workspace has runs at another address than the settings say";
    default: return entry.reason;
  }
}
