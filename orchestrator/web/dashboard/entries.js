// Shows entries as a table, with the columns that several views share.

import { actionButtons } from "./actions.js";
import { breakable, externalLink, h, statusBadges } from "./dom.js";

export const isWaiting = ({ status }) => status === "PENDING" || status === "FAILED";
export const isInFlight = ({ status }) => status === "QUEUED" || status === "RUNNING";

// Make a table of entries. Each extra column is {name, cell(entry), kind}. Where there is no room for columns, and always
// beside a workspace, a row is shown as some lines (style.css).
export function entryTable(entries, columns, { label }) {
  const head = ["Entry", "Table", "State", ...columns.map(({ name }) => name)];
  const isLong = columns.some(({ kind }) => kind === "workspace");
  return h("table", { class: `entries${isLong ? " long" : ""}`, "aria-label": label },
    h("thead", {}, h("tr", {},
      head.map((name) => h("th", { scope: "col" }, name)),
      h("th", { scope: "col" }, h("span", { class: "hidden" }, "Actions")))),
    h("tbody", {}, entries.map((entry) => h("tr", {},
      h("td", { class: "id" }, entryLink(entry.id)),
      h("td", { class: "name" }, breakable(entry.table_name)),
      h("td", { class: "state" }, statusBadges(entry)),
      columns.map(({ cell, kind }) => h("td", { class: kind }, cell(entry))),
      h("td", { class: "actions" }, h("div", { class: "buttons" }, actionButtons(entry)))))));
}

const entryLink = (id) => h("a", { href: `#entry=${id}`, "data-key": `entry-${id}` }, `#${id}`);

// The id of an entry's run, as a link to the run's page where that is known; nothing without a run.
export const runLink = ({ run_id: id, run_page_url: page }) =>
  id !== null && h("span", { class: "number" }, page ? externalLink(page, `${id} ↗`) : String(id));

export const runColumn = { name: "Run", kind: "run", cell: runLink };

export const errorColumn = {
  name: "Error", kind: "error",
  cell: ({ last_error: error }) => error && h("div", { class: "clip", title: error }, error),
};

// With a single workspace the column would say the same in every row.
export const workspaceColumns = (names) =>
  names.length > 1 ? [{ name: "Workspace", kind: "workspace", cell: ({ workspace }) => breakable(workspace) }] : [];
