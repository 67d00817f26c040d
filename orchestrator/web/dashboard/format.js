// Formats times, durations and numbers.

import { h } from "./dom.js";

export const HOUR_MS = 3_600_000;

// How far this machine's clock is behind the server's, in milliseconds.
let clockOffset = 0;

export function setServerTime(iso) {
  clockOffset = Date.parse(iso) - Date.now();
}

// The server's time, in milliseconds since 1970.
export const now = () => Date.now() + clockOffset;

// The time some hours ago, cut to whole minutes: a search a few seconds later asks for the same.
export const hoursAgo = (hours) => new Date(Math.floor(now() / 60_000) * 60_000 - hours * HOUR_MS).toISOString();

const YEAR = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
export const UTC_DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });

export const utc = (time) => `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;

// Show a time in the local zone, with UTC in the tooltip. Leave out the date if it is today, and the year if it is this one.
export function localTime(iso) {
  if (!iso) return "–";
  const time = new Date(iso);
  const today = new Date(now());
  const date = time.getFullYear() === today.getFullYear() ? DAY : YEAR;
  const isToday = time.toDateString() === today.toDateString();
  const text = isToday ? CLOCK.format(time) : `${date.format(time)}, ${CLOCK.format(time)}`;
  return h("time", { datetime: iso, title: utc(time) }, text);
}

// Show how long ago a time was, or how far ahead it is. The interval below keeps it up to date.
export function age(iso, { prefix = "", suffix = "" } = {}) {
  const made = h("time", {
    class: "age", datetime: iso, title: utc(new Date(iso)), "data-prefix": prefix, "data-suffix": suffix,
  });
  updateAge(made);
  return made;
}

function updateAge(made) {
  const seconds = Math.abs(now() - Date.parse(made.dateTime)) / 1000;
  made.textContent = `${made.dataset.prefix}${duration(seconds)}${made.dataset.suffix}`;
}

setInterval(() => document.querySelectorAll("time.age").forEach(updateAge), 1000);

// Format a duration: 0.4 s, 12 s, 3 min 5 s, 2 h 5 min, 3 d 4 h.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(seconds);
  const first = units.findIndex(([, size]) => rest >= size);
  const words = [];
  for (const [name, size] of units.slice(first, first + 2)) {
    if (rest >= size) words.push(`${Math.floor(rest / size)} ${name}`);
    rest %= size;
  }
  return words.join(" ");
}

const NUMBER = new Intl.NumberFormat();
export const count = (number) => NUMBER.format(number ?? 0);
export const plural = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
export const percent = (part) => (part === null || part === undefined ? "–" : `${Math.floor(part * 1000) / 10} %`);
