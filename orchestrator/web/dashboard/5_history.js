// What happened over the last day and week: charts drawn by hand, each with its numbers as a table.

const HEIGHT = 150;
const LEFT = 48;
const BOTTOM = 20;
const TOP = 8;

async function loadHistory({ hours }, signal) {
  const [{ buckets }, { tables, since }] = await Promise.all([
    api.history(hours, signal), api.tables(Math.max(1, Math.round(hours / 24)), 100, signal),
  ]);
  return { hours, buckets, tables, since: since?.slice(0, 16) }; // by the minute: the same rows are the same data
}

function buildHistory({ hours, buckets, tables, since }) {
  const runs = buckets.reduce((sum, { done, failed }) => sum + done + failed, 0);
  return [
    h("div", { class: "title" },
      h("h2", {}, hours > 48 ? "The last 7 days" : "The last 24 hours"),
      h("nav", { "aria-label": "Span" },
        [[24, "Day"], [168, "Week"]].map(([length, name]) =>
          h("a", { href: `#history=${length}`, "data-key": `span-${length}`, "aria-current": length === hours ? "true" : null }, name)))),
    runs === 0 ? h("p", { class: "card empty" }, "No run has ended in this time.") : charts(hours, buckets),
    h("section", { class: "card" }, h("h2", {}, "Table by table", h("span", { class: "quiet" },
        "most failures first", since && [", since ", when(`${since}Z`)])),
      tables.length === 0 ? h("p", { class: "empty" }, "No table has run in this time.") : tableRows(tables)),
  ];
}

function charts(hours, buckets) {
  return h("section", { class: "columns" },
    h("figure", { class: "card" },
      h("figcaption", { class: "heading" }, "Runs that ended", h("span", { class: "legend" },
        h("span", {}, h("span", { class: "key done" }), "done"), h("span", {}, h("span", { class: "key failed" }), "failed"))),
      drawn((width) => bars(buckets, hours, width)), numbers(hours, buckets, "runs")),
    h("figure", { class: "card" },
      h("figcaption", { class: "heading" }, "Queue time in Databricks", h("span", { class: "quiet" }, "mean")),
      drawn((width) => trend(buckets, hours, width, "queue_seconds", "Queue time")), numbers(hours, buckets, "queue")),
    h("figure", { class: "card" },
      h("figcaption", { class: "heading" }, "Run time", h("span", { class: "quiet" }, "mean")),
      drawn((width) => trend(buckets, hours, width, "execution_seconds", "Run time")), numbers(hours, buckets, "run")));
}

// A chart as wide as its place, drawn again when that changes.
function drawn(draw) {
  const place = h("div", {});
  let last = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === last || width < 120) return;
    last = width;
    place.replaceChildren(draw(width));
  }).observe(place);
  return place;
}

// Steps between the lines of a chart: round numbers of runs, and lengths of time that people say.
const decades = (least, most) =>
  Array.from({ length: most - least + 1 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** (power + least))).flat();
const RUN_STEPS = decades(0, 9);
const TIME_STEPS = [
  ...decades(-2, 0), 10, 15, 30, 60, 120, 300, 600, 900, 1800, ...[1, 2, 4, 6, 12].map((hours) => hours * 3600),
  ...decades(0, 4).map((days) => days * 86_400),
];

// Where the lines are: at most five, of which the greatest is not below the most.
function scale(most, steps) {
  const step = steps.find((candidate) => candidate >= most / 4) ?? steps.at(-1);
  return Array.from({ length: Math.max(1, Math.ceil(most / step)) + 1 }, (_, line) => line * step);
}

// The axes: where a time and a value are, and what is drawn behind them.
function axes(hours, width, most, steps, label) {
  const stepMs = hours > 48 ? 24 * HOUR_MS : HOUR_MS;
  const slots = Math.round((hours * HOUR_MS) / stepMs); // the one under way included
  const end = (Math.floor(now() / stepMs) + 1) * stepMs;
  const begin = end - slots * stepMs;
  const slot = (width - LEFT) / slots;
  const marks = scale(most, steps);
  const top = marks.at(-1);
  const x = (iso) => LEFT + ((Date.parse(iso) - begin) / stepMs) * slot;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const every = Math.ceil(slots / Math.max(2, Math.floor((width - LEFT) / 64)));
  const starts = Array.from({ length: slots }, (_, step) => new Date(begin + step * stepMs));
  const behind = [
    marks.map((mark) => s("line", { class: "grid", x1: LEFT, x2: width, y1: y(mark), y2: y(mark) })),
    marks.map((mark) => s("text", { x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, label(mark))),
    starts.map((at, step) => step % every === 0 &&
      s("text", { x: LEFT + step * slot, y: HEIGHT - 4 }, bucketName(at, hours))),
  ];
  return { x, y, slot, behind };
}

const picture = (width, label, ...parts) =>
  s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label }, ...parts);

function bars(buckets, hours, width) {
  const most = Math.max(1, ...buckets.map(({ done, failed }) => done + failed));
  const { x, y, slot, behind } = axes(hours, width, most, RUN_STEPS, count);
  const sum = (name) => buckets.reduce((all, bucket) => all + bucket[name], 0);
  const wide = Math.max(1, slot - 2);
  return picture(width, `${count(sum("done"))} runs done and ${count(sum("failed"))} failed`, behind,
    buckets.map(({ start, done, failed }) => s("g", {},
      s("title", {}, `${bucketName(start, hours)}: ${count(done)} done, ${count(failed)} failed`),
      s("rect", { class: "done", x: x(start), y: y(done), width: wide, height: y(0) - y(done) }),
      s("rect", { class: "failed", x: x(start), y: y(done + failed), width: wide, height: y(done) - y(done + failed) }))));
}

function trend(buckets, hours, width, field, name) {
  const known = buckets.filter((bucket) => bucket[field] !== null);
  const most = Math.max(0.4, ...known.map((bucket) => bucket[field]));
  const { x, y, slot, behind } = axes(hours, width, most, TIME_STEPS, span);
  const points = known.map((bucket) => [x(bucket.start) + slot / 2, y(bucket[field]), bucket]);
  return picture(width, `${name}: at most ${span(most)} in the mean`, behind,
    s("polyline", { class: "trend", points: points.map(([left, top]) => `${left},${top}`).join(" ") }),
    points.map(([left, top, bucket]) => s("circle", { class: "point", cx: left, cy: top, r: 2.5 },
      s("title", {}, `${bucketName(bucket.start, hours)}: ${span(bucket[field])}`))));
}

// The hour in local time; a day is a day of UTC, as the API counts it.
const bucketName = (start, hours) => (hours > 48 ? UTC_DAY : HOUR).format(new Date(start));

// The same in numbers, for whoever cannot or does not want to read a chart.
const numbers = (hours, buckets, key) =>
  h("details", { "data-key": `numbers-${key}` }, h("summary", {}, "As a table"),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["From", "Done", "Failed", "Queue time", "Run time"].map((name, column) =>
        h("th", { scope: "col", class: column ? "right" : null }, name)))),
      h("tbody", {}, buckets.map((bucket) => h("tr", {},
        h("td", { title: utc(new Date(bucket.start)) }, bucketName(bucket.start, hours)),
        [count(bucket.done), count(bucket.failed), span(bucket.queue_seconds), span(bucket.execution_seconds)]
          .map((cell) => h("td", { class: "right" }, cell))))))));

const tableRows = (tables) =>
  h("div", { class: "scroll" }, h("table", { "aria-label": "Table by table" },
    h("thead", {}, h("tr", {}, ["Table", "Workspace", "Success", "Runs", "Failed", "Mean", "Longest", "Last", "Ended"]
      .map((name) => h("th", { scope: "col", class: NUMERIC.has(name) ? "right" : null }, name)))),
    h("tbody", {}, tables.map((one) => h("tr", {},
      h("td", {}, h("a", { href: `#${query({ search: one.table_name, in: "table", workspace: one.workspace })}` }, one.table_name)),
      h("td", {}, one.workspace),
      h("td", { class: "tight" }, rate(one.success_rate), percent(one.success_rate)),
      [count(one.runs), count(one.failed), span(one.mean_seconds), span(one.max_seconds)]
        .map((cell) => h("td", { class: "right tight" }, cell)),
      h("td", {}, one.last_status ? status(one.last_status) : "–"),
      h("td", { class: "tight" }, when(one.last_finished_at)))))));

const NUMERIC = new Set(["Runs", "Failed", "Mean", "Longest"]);
const rate = (part) => part !== null && h("span", { class: "rate", "aria-hidden": "true" }, share("", part, 1));
