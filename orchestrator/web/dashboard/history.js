// What happened over the last day or week: charts, each with its numbers as a table, and a line for each table.

import { api, query } from "./api.js";
import { bars, bucketName, fitWidth, trend } from "./charts.js";
import { breakable, h, segment, statusBadge } from "./dom.js";
import { count, duration, localTime, percent, utc } from "./format.js";

const MAX_TABLES = 100;

async function load({ hours }, signal) {
  const [{ buckets }, { tables, since }] = await Promise.all([
    api.history(hours, signal), api.tables(Math.max(1, Math.round(hours / 24)), MAX_TABLES, signal),
  ]);
  return { hours, buckets, tables, since: since?.slice(0, 16) }; // cut to minutes, so that a refresh redraws nothing
}

function build({ hours, buckets, tables, since }) {
  const runs = buckets.reduce((sum, { done, failed }) => sum + done + failed, 0);
  return [
    h("div", { class: "title" },
      h("h2", {}, hours > 48 ? "The last 7 days" : "The last 24 hours"),
      h("nav", { "aria-label": "Period" },
        [[24, "Day"], [168, "Week"]].map(([length, name]) =>
          h("a", { href: `#history=${length}`, "data-key": `period-${length}`, "aria-current": length === hours ? "true" : null },
            name)))),
    runs === 0 ? h("p", { class: "card empty" }, "No run has ended in this period.") : charts(hours, buckets),
    h("section", { class: "card" },
      h("h2", {}, "Table by table", h("span", { class: "quiet" },
        "most failures first", since && [", since ", localTime(`${since}Z`)])),
      tables.length === 0 ? h("p", { class: "empty" }, "No table has run in this period.") : tableOfTables(tables)),
  ];
}

function charts(hours, buckets) {
  const legend = ["done", "failed"].map((name) => h("span", {}, h("span", { class: `key ${name}` }), name));
  return h("section", { class: "columns" },
    figure("Runs that ended", h("span", { class: "legend" }, legend), "runs", hours, buckets,
      (width) => bars(buckets, hours, width)),
    figure("Queue time in Databricks", h("span", { class: "quiet" }, "mean"), "queue", hours, buckets,
      (width) => trend(buckets, hours, width, "queue_seconds", "Queue time")),
    figure("Run time", h("span", { class: "quiet" }, "mean"), "run", hours, buckets,
      (width) => trend(buckets, hours, width, "execution_seconds", "Run time")));
}

const figure = (title, note, key, hours, buckets, draw) =>
  h("figure", { class: "card" },
    h("figcaption", { class: "heading" }, title, note), fitWidth(draw), numbers(hours, buckets, key));

// A chart's numbers, for anybody who cannot or does not want to read the chart.
const numbers = (hours, buckets, key) =>
  h("details", { "data-key": `numbers-${key}` }, h("summary", {}, "As a table"),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["From", "Done", "Failed", "Queue time", "Run time"].map((name, column) =>
        h("th", { scope: "col", class: column ? "right" : null }, name)))),
      h("tbody", {}, buckets.map((bucket) => h("tr", {},
        h("td", { title: utc(new Date(bucket.start)) }, bucketName(bucket.start, hours)),
        [count(bucket.done), count(bucket.failed), duration(bucket.queue_seconds), duration(bucket.execution_seconds)]
          .map((cell) => h("td", { class: "right" }, cell))))))));

const COLUMNS = ["Table", "Workspace", "Success", "Runs", "Failed", "Mean", "Longest", "Last", "Ended"];
const NUMERIC = new Set(["Runs", "Failed", "Mean", "Longest"]);

const tableOfTables = (tables) =>
  h("div", { class: "scroll" }, h("table", { "aria-label": "Table by table" },
    h("thead", {}, h("tr", {},
      COLUMNS.map((name) => h("th", { scope: "col", class: NUMERIC.has(name) ? "right" : null }, name)))),
    h("tbody", {}, tables.map((table) => h("tr", {},
      h("td", {}, searchLink(table)),
      h("td", {}, breakable(table.workspace)),
      h("td", { class: "tight" }, successBar(table.success_rate), percent(table.success_rate)),
      [count(table.runs), count(table.failed), duration(table.mean_seconds), duration(table.max_seconds)]
        .map((cell) => h("td", { class: "right tight" }, cell)),
      h("td", {}, table.last_status ? statusBadge(table.last_status) : "–"),
      h("td", { class: "tight" }, localTime(table.last_finished_at)))))));

const searchLink = ({ table_name: name, workspace }) =>
  h("a", { href: `#${query({ search: name, in: "table", workspace })}` }, breakable(name));

const successBar = (rate) =>
  rate !== null && h("span", { class: "rate", "aria-hidden": "true" }, segment("", rate, 1));

export const historyView = { load, build, title: () => "History" };
