// Elements, times and numbers. Whatever comes from the API becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

// Make an element: attributes by name, functions as listeners ("click"), nothing for null, undefined and false.
function element(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const h = (tag, attributes = {}, ...children) => element(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => element(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);

// A part of a bar, as wide as its share. Set by script, because the page's policy forbids style attributes.
function share(kind, part, whole) {
  const made = h("i", { class: kind });
  made.style.width = `${whole > 0 ? Math.min(100, (100 * part) / whole) : 0}%`;
  return made;
}

// Show what was built from data, unless it is what is there already. The focus and what is unfolded stay.
function show(place, data, build) {
  const print = JSON.stringify(data);
  if (place.shownData === print) return;
  const held = place !== document.activeElement && place.contains(document.activeElement);
  const focused = document.activeElement?.dataset.key;
  const open = new Set([...place.querySelectorAll("details[open]")].map((found) => found.dataset.key));
  place.replaceChildren(...[build(data)].flat(3).filter(Boolean));
  place.shownData = print;
  for (const found of place.querySelectorAll("details")) found.open = open.has(found.dataset.key);
  if (held) ([...place.querySelectorAll("[data-key]")].find((found) => found.dataset.key === focused) ?? place).focus();
}

// How far this machine's clock is behind the server's, in milliseconds.
let clockOffset = 0;
const now = () => Date.now() + clockOffset;

const YEAR = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const UTC_DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });

const utc = (at) => `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;

// A time in the local zone, with UTC in the tooltip; today's day is left out, and this year's year.
function when(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const today = new Date(now());
  const day = at.getFullYear() === today.getFullYear() ? DAY : YEAR;
  const text = at.toDateString() === today.toDateString() ? CLOCK.format(at) : `${day.format(at)}, ${CLOCK.format(at)}`;
  return h("time", { datetime: iso, title: utc(at) }, text);
}

// How long ago (or until) a time is; kept right by the clock below.
function age(iso, { prefix = "", suffix = "" } = {}) {
  const made = h("time", { datetime: iso, title: utc(new Date(iso)), "data-prefix": prefix, "data-suffix": suffix });
  made.className = "age";
  tellAge(made);
  return made;
}

function tellAge(made) {
  const seconds = Math.abs(now() - Date.parse(made.dateTime)) / 1000;
  made.textContent = `${made.dataset.prefix}${span(seconds)}${made.dataset.suffix}`;
}

setInterval(() => document.querySelectorAll("time.age").forEach(tellAge), 1000);

// A length of time in words: 0.4 s, 12 s, 3 min 5 s, 2 h 5 min, 3 d 4 h.
function span(seconds) {
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
const count = (number) => NUMBER.format(number ?? 0);
const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

const percent = (part) => (part === null || part === undefined ? "–" : `${Math.floor(part * 1000) / 10} %`);

const status = (name) => h("span", { class: `status ${name}` }, name);

// A link to elsewhere, or the bare text when the address is not one of the web.
function outside(address, ...text) {
  const web = /^https?:\/\//i.test(address ?? "");
  return web ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, ...text) : h("span", {}, ...text);
}
