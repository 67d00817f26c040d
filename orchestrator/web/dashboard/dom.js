// Makes and updates elements. Whatever comes from the API becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

// Fill an element. A function becomes a listener under its name ("click"); null, undefined and false are left out.
function fill(target, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") target.addEventListener(name, value);
    else if (value === true) target.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) target.setAttribute(name, value);
  }
  target.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return target;
}

// Make an HTML element.
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

// Make an SVG element.
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const byId = (id) => document.getElementById(id);

// Make a segment of a bar, as wide as its share. A script sets the width because the policy forbids style attributes.
export function segment(kind, part, whole) {
  const made = h("i", { class: kind });
  made.style.width = `${whole > 0 ? Math.min(100, (100 * part) / whole) : 0}%`;
  return made;
}

// Rebuild a place from data, unless it shows the same data already. The focus and open details are kept.
export function show(place, data, build) {
  const print = JSON.stringify(data);
  if (place.shownData === print) return;
  const hadFocus = place !== document.activeElement && place.contains(document.activeElement);
  const focusedKey = document.activeElement?.dataset.key;
  const open = new Set([...place.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  place.replaceChildren(...[build(data)].flat(3).filter(Boolean));
  place.shownData = print;
  for (const details of place.querySelectorAll("details")) details.open = open.has(details.dataset.key);
  if (hadFocus) focusOn(place, focusedKey);
}

// Give the focus to the element of a place that has a key, or to the place if there is none.
export function focusOn(place, key) {
  const found = [...place.querySelectorAll("[data-key]")].find((candidate) => candidate.dataset.key === key);
  (found ?? place).focus();
}

// Where a line may end: after a separator, but not within a number or a date.
const BREAKS = /(?<=[_/])(?=[^_/])|(?<=[.:,-])(?=\p{L})/u;

// Let long names be broken after their separators, and not in mid-word. A <wbr> is not copied with the text.
export const breakable = (text) => text.split(BREAKS).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));

export const statusBadge = (status) => h("span", { class: `status ${status}` }, status);

// An entry may be DONE although tasks of its run failed.
export const statusBadges = ({ status, with_failures: partly }) =>
  [statusBadge(status), partly && [" ", h("span", { class: "status FAILED" }, "with failures")]];

// Make a link to another site, or plain text when the address does not begin with http:// or https://.
export function externalLink(address, ...text) {
  const isWeb = /^https?:\/\//i.test(address ?? "");
  return isWeb ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, ...text) : h("span", {}, ...text);
}
