// Shows entries as a table, with the columns that several views share.

import { actionButtons } from "./actions.js";
import { externalLink, h, statusBadges } from "./dom.js";

export const isWaiting = ({ status }) => status === "PENDING" || status === "FAILED";
export const isInFlight = ({ status }) => status === "QUEUED" || status === "RUNNING";

// Make a table of entries. Each extra column is {name, cell(entry), kind}.
export function entryTable(entries, columns, { label }) {
  const head = ["Entry", "Table", "State", ...columns.map(({ name }) => name)];
  return h("table", { class: "entries", "aria-label": label },
    h("thead", {}, h("tr", {},
      head.map((name) => h("th", { scope: "col" }, name)),
      h("th", { scope: "col" }, h("span", { class: "hidden" }, "Actions")))),
    h("tbody", {}, entries.map((entry) => h("tr", {},
      h("td", { class: "tight" }, entryLink(entry.id)),
      h("td", { class: "name" }, entry.table_name),
      h("td", {}, statusBadges(entry)),
      columns.map(({ cell, kind }) => h("td", { class: kind ?? "tight" }, cell(entry))),
      h("td", {}, h("div", { class: "buttons" }, actionButtons(entry)))))));
}

const entryLink = (id) => h("a", { href: `#entry=${id}`, "data-key": `entry-${id}` }, `#${id}`);

// The id of an entry's run, as a link to the run's page where that is known.
export const runLink = ({ run_id: id, run_page_url: page }) =>
  id === null ? "–" : h("span", { class: "number" }, page ? externalLink(page, `${id} ↗`) : String(id));

export const runColumn = { name: "Run", cell: runLink };

export const errorColumn = {
  name: "Error", kind: "error",
  cell: ({ last_error: error }) => error && h("div", { class: "clip", title: error }, error),
};

// With a single workspace the column would say the same in every row.
export const workspaceColumns = (names) => (names.length > 1 ? [{ name: "Workspace", cell: ({ workspace }) => workspace }] : []);
