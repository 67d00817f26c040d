// Retries and cancels one entry, or all that a search found. Nothing happens before a dialog is confirmed.

import { api } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { count, plural } from "./format.js";

// expected: what must still be as shown for the change to be made. A cancellation expects nothing: an entry that has
// been claimed or started in the meantime is cancelled all the same.
const VERBS = {
  retry: {
    name: "Retry", effect: "runs again at the next pass", effects: "run again at the next passes",
    participle: "retried", confirmation: (all) => `${all} will run again`,
    expected: ({ status, submission }) => ({ status, submission }),
  },
  cancel: {
    name: "Cancel", effect: "is cancelled; a live run is stopped in Databricks first",
    effects: "are cancelled; live runs are stopped in Databricks first",
    participle: "cancelled", confirmation: (all) => `Cancellation of ${all} requested`,
    expected: () => ({}),
  },
};

const entries = (number) => plural(number, "entry", "entries");

// Agree a description with its number: "1 entry of table sales", "2 entries of table sales".
export const counted = (number, words) => `${count(number)} ${number === 1 ? words.replace(/^entries/, "entry") : words}`;

function askOne(verb, entry) {
  const { name, effect, expected } = VERBS[verb];
  ask({
    title: `${name} entry ${entry.id}?`,
    text: [`${entry.table_name} (now ${entry.status}) ${effect}.`],
    yes: `${name} entry ${entry.id}`,
    act: async () => {
      const after = await api.change(verb, entry.id, expected(entry));
      const pending = verb === "cancel" && after.status !== "CANCELED" ? "; cancellation requested" : "";
      return `Entry ${entry.id} (${entry.table_name}) is ${after.status}${pending}.`;
    },
  });
}

// A dry run first, so that the dialog can say how many entries would change.
async function askAll(verb, filter, words) {
  const { name, effect, effects, participle } = VERBS[verb];
  let found;
  try {
    found = await api.changeAll(verb, filter, true);
  } catch (error) {
    ask({ title: `${name} all found`, text: [error.message] });
    return;
  }
  if (found.count === 0) {
    const fitting = found.states.length > 0 ? `is ${found.states.join(" or ")}` : `can be ${participle}`;
    ask({ title: `Nothing to ${verb}`, text: [`None of the ${words} ${fitting}.`] });
    return;
  }
  const all = entries(found.count);
  ask({
    title: `${name} ${all}?`,
    text: [
      `${counted(found.count, words)} ${found.count === 1 ? effect : effects}.`,
      ...(found.more ? [`More were found; this changes the first ${count(found.count)}.`] : []),
    ],
    yes: `${name} ${all}`,
    act: () => changeAll(verb, found),
  });
}

// Change the entries that the dry run counted, and only those still in one of its states.
async function changeAll(verb, found) {
  const done = await api.changeAll(verb, { ids: found.ids, state: found.states }, false);
  const skipped = found.count - done.count;
  return [
    `${VERBS[verb].confirmation(entries(done.count))}.`,
    ...(skipped > 0 ? [`Skipped ${entries(skipped)} that changed in the meantime.`] : []),
  ].join(" ");
}

// Make the buttons that fit an entry's state.
export const actionButtons = (entry, size = "small") =>
  entry.actions.map((verb) =>
    h("button", {
      type: "button", class: size, "data-key": `${verb}-${entry.id}`, "aria-label": `${VERBS[verb].name} entry ${entry.id}`,
      click: () => askOne(verb, entry),
    }, VERBS[verb].name));

// Make the buttons that change everything a search found.
export const bulkButtons = (filter, words) =>
  Object.entries(VERBS).map(([verb, { name }]) =>
    h("button", { type: "button", "data-key": `all-${verb}`, click: () => askAll(verb, filter, words) },
      `${name} all found…`));
