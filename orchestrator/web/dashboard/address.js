// Reads the page's address after #. Everything that a view needs is there, so that each view can be linked to. People edit
// addresses and mail programs break them: whatever is not understood is left out, and named.

import { readSearch } from "./search.js";

const HOURS = { "": 24, 24: 24, 168: 168 };

// Longest id in digits: 2^63 - 1 has 19.
const ID = /^-?\d{1,19}$/;

const MAX_SHOWN = 3; // parts of the address that are named
const MAX_PART = 40; // characters of each

// Return the view's name, its parameters, and the parts of the address that are not understood.
export function readAddress(hash) {
  const given = [...new URLSearchParams(hash.replace(/^#/, ""))];
  const asked = new Map(given);
  if (asked.has("search")) return { name: "search", ...readSearch(given) };
  if (asked.has("entry") && ID.test(asked.get("entry")))
    return { name: "entry", params: { id: asked.get("entry") }, ignored: without(given, "entry") };
  if (asked.has("history")) {
    const isKnown = Object.hasOwn(HOURS, asked.get("history"));
    return {
      name: "history", params: { hours: HOURS[isKnown ? asked.get("history") : ""] },
      ignored: isKnown ? without(given, "history") : given,
    };
  }
  return { name: "now", params: {}, ignored: without(given, "now") };
}

const without = (given, known) => given.filter(([key]) => key !== known);

// Say which parts of the address were ignored; empty if there are none.
export function ignoredWords(ignored) {
  if (ignored.length === 0) return "";
  const parts = ignored.slice(0, MAX_SHOWN).map(([key, value]) => shorten(value ? `${key}=${value}` : key));
  return `Not understood in the address, and ignored: ${parts.join(", ")}${ignored.length > MAX_SHOWN ? ", …" : ""}`;
}

const shorten = (text) => (text.length > MAX_PART ? `${text.slice(0, MAX_PART)}…` : text);
