// Draws bar and line charts as SVG.

import { h, s } from "./dom.js";
import { HOUR, HOUR_MS, UTC_DAY, count, duration, now } from "./format.js";

const HEIGHT = 150;
const LEFT = 48;
const BOTTOM = 20;
const TOP = 8;
const MIN_WIDTH = 120;
const LABEL_WIDTH = 64;

// Make a place for a chart, and draw it again whenever the width of the place changes.
export function fitWidth(draw) {
  const place = h("div", {});
  let last = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === last || width < MIN_WIDTH) return;
    last = width;
    place.replaceChildren(draw(width));
  }).observe(place);
  return place;
}

// Steps between the lines of a chart: round numbers of runs, and durations that people use.
const decades = (least, most) =>
  Array.from({ length: most - least + 1 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** (power + least))).flat();
const RUN_STEPS = decades(0, 9);
const TIME_STEPS = [
  ...decades(-2, 0), 10, 15, 30, 60, 120, 300, 600, 900, 1800, ...[1, 2, 4, 6, 12].map((hours) => hours * 3600),
  ...decades(0, 4).map((days) => days * 86_400),
];

// Return the values of the lines: at most five steps up from 0, the last line not below the greatest value.
function scale(greatest, steps) {
  const step = steps.find((candidate) => candidate >= greatest / 4) ?? steps.at(-1);
  return Array.from({ length: Math.max(1, Math.ceil(greatest / step)) + 1 }, (_, line) => line * step);
}

// Return where a time and a value are, how wide a bucket is, and the lines and labels behind the data.
function axes(hours, width, greatest, steps, label) {
  const stepMs = hours > 48 ? 24 * HOUR_MS : HOUR_MS;
  const slots = Math.round((hours * HOUR_MS) / stepMs); // including the current one
  const end = (Math.floor(now() / stepMs) + 1) * stepMs;
  const begin = end - slots * stepMs;
  const slot = (width - LEFT) / slots;
  const marks = scale(greatest, steps);
  const top = marks.at(-1);
  const x = (iso) => LEFT + ((Date.parse(iso) - begin) / stepMs) * slot;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const every = Math.ceil(slots / Math.max(2, Math.floor((width - LEFT) / LABEL_WIDTH)));
  const starts = Array.from({ length: slots }, (_, step) => new Date(begin + step * stepMs));
  const behind = [
    marks.map((mark) => s("line", { class: "grid", x1: LEFT, x2: width, y1: y(mark), y2: y(mark) })),
    marks.map((mark) => s("text", { x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, label(mark))),
    starts.map((start, step) => step % every === 0 &&
      s("text", { x: LEFT + step * slot, y: HEIGHT - 4 }, bucketName(start, hours))),
  ];
  return { x, y, slot, behind };
}

const picture = (width, label, ...parts) =>
  s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label }, ...parts);

// Draw the runs that ended as stacked bars.
export function bars(buckets, hours, width) {
  const greatest = Math.max(1, ...buckets.map(({ done, failed }) => done + failed));
  const { x, y, slot, behind } = axes(hours, width, greatest, RUN_STEPS, count);
  const sum = (name) => buckets.reduce((all, bucket) => all + bucket[name], 0);
  const barWidth = Math.max(1, slot - 2);
  return picture(width, `${count(sum("done"))} runs done and ${count(sum("failed"))} failed`, behind,
    buckets.map(({ start, done, failed }) => s("g", {},
      s("title", {}, `${bucketName(start, hours)}: ${count(done)} done, ${count(failed)} failed`),
      s("rect", { class: "done", x: x(start), y: y(done), width: barWidth, height: y(0) - y(done) }),
      s("rect", { class: "failed", x: x(start), y: y(done + failed), width: barWidth, height: y(done) - y(done + failed) }))));
}

// Draw the mean of a duration as a line.
export function trend(buckets, hours, width, field, name) {
  const known = buckets.filter((bucket) => bucket[field] !== null);
  const greatest = Math.max(0.4, ...known.map((bucket) => bucket[field]));
  const { x, y, slot, behind } = axes(hours, width, greatest, TIME_STEPS, duration);
  const points = known.map((bucket) => [x(bucket.start) + slot / 2, y(bucket[field]), bucket]);
  return picture(width, `${name}: a mean of at most ${duration(greatest)}`, behind,
    s("polyline", { class: "trend", points: points.map(([left, top]) => `${left},${top}`).join(" ") }),
    points.map(([left, top, bucket]) => s("circle", { class: "point", cx: left, cy: top, r: 2.5 },
      s("title", {}, `${bucketName(bucket.start, hours)}: ${duration(bucket[field])}`))));
}

// Name a bucket: an hour in local time, or a day of UTC, as the API counts days.
export const bucketName = (start, hours) => (hours > 48 ? UTC_DAY : HOUR).format(new Date(start));
