// Retries, restarts, cancels and resolves one entry; retries and cancels all that a search found. Nothing happens before a
// dialog is confirmed.

import { api } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { count, localTime, plural } from "./format.js";

const HOW = {
  key: "mode", label: "How",
  choices: [["", "as its settings say"], ["run", "a new run"], ["repair", "repair: only the failed tasks of the last run"]],
};

const RESOLUTIONS = [
  ["done", "done: what the run was for is there", "DONE"],
  ["failed", "failed, and not retried", "DEAD"],
  ["release", "released: neither of the two", "CANCELED"],
];

const asShown = ({ status, submission }) => ({ status, submission });
const howChosen = ({ mode }) => (mode ? { mode } : {});

// expected: what must still be as shown for the change to be made. A cancellation expects nothing: an entry that has
// been claimed or started in the meantime is cancelled all the same.
// fields: what the dialog asks for; body: what it adds to the request.
const VERBS = {
  retry: {
    name: "Retry", effect: "will run again at the next pass", effects: "will run again at the next passes",
    participle: "retried", confirmation: (all) => `${all} will run again`,
    expected: asShown, fields: () => [HOW], body: howChosen, said: () => "",
  },
  restart: {
    name: "Restart", route: "retry",
    effect: "will start anew: its run is cancelled in Databricks, and then the entry waits again",
    expected: asShown, fields: () => [HOW], body: (values) => ({ restart: true, ...howChosen(values) }),
    said: ({ status }) => (status === "RUNNING" ? "; its run is cancelled first" : ""),
  },
  cancel: {
    name: "Cancel", effect: "will be cancelled; a live run is stopped in Databricks first",
    effects: "will be cancelled; live runs are stopped in Databricks first",
    participle: "cancelled", confirmation: (all) => `Cancellation of ${all} requested`,
    expected: () => ({}), fields: () => [], body: () => ({}),
    said: ({ status }) => (status === "CANCELED" ? "" : "; cancellation requested"),
  },
  resolve: {
    name: "Resolve",
    effect: "will be settled by hand. A run that is still active is not cancelled, and is no longer followed",
    expected: asShown,
    fields: ({ status }) => [
      { key: "resolution", label: "Settle it as", choices: RESOLUTIONS.filter(([, , state]) => state !== status) },
      { key: "reason", label: "Reason, for the log" },
    ],
    body: ({ resolution, reason }) => ({ resolution, reason }),
    said: ({ run_left: run }) => (run ? `; run ${run} is not cancelled, and is no longer followed` : ""),
  },
};

// What a row of a table and the bar below it offer. The rest is for an entry's own page.
const COMMON = ["retry", "cancel"];

const entries = (number) => plural(number, "entry", "entries");

// Agree a description with its number: "1 entry of table sales", "2 entries of table sales".
export const counted = (number, words) => `${count(number)} ${number === 1 ? words.replace(/^entries/, "entry") : words}`;

function askOne(verb, entry) {
  const { name, route = verb, effect, expected, fields, body, said } = VERBS[verb];
  ask({
    title: `${name} entry ${entry.id}?`,
    text: [`${entry.table_name} (now ${entry.status}) ${effect}.`],
    fields: fields(entry),
    yes: `${name} entry ${entry.id}`,
    act: async (values) => {
      const after = await api.change(route, entry.id, { ...expected(entry), ...body(values) });
      return `Entry ${entry.id} (${entry.table_name}) is ${after.status}${said(after)}.`;
    },
  });
}

// Name the conditions of a bulk change, all of them: [name, value] pairs.
function conditions(filter, states) {
  const { table, error, workspace, since, until } = filter;
  return [
    ["Table", table],
    ["Error with", error],
    ["State", filter.with_failures ? "DONE, with failures" : states.join(" or ")],
    ["Workspace", workspace ?? "all"],
    ["Changed since", since && localTime(since)],
    ["Changed until", until && localTime(until)],
  ].filter(([, value]) => value);
}

// A dry run first, so that the dialog can say how many entries would change.
async function askAll(verb, filter, words) {
  const { name, effect, effects, participle, fields, body } = VERBS[verb];
  let found;
  try {
    found = await api.changeAll(verb, filter, true);
  } catch (error) {
    ask({ title: `${name} all found`, text: [error.message] });
    return;
  }
  if (found.count === 0) {
    const fitting = found.states.length > 0 ? `is ${found.states.join(" or ")}` : `can be ${participle}`;
    ask({
      title: `Nothing to ${verb}`, text: [`None of the ${words} ${fitting}.`], facts: conditions(filter, found.states),
    });
    return;
  }
  const all = entries(found.count);
  ask({
    title: `${name} ${all}?`,
    text: [
      `${counted(found.count, words)} ${found.count === 1 ? effect : effects}.`,
      ...(found.more ? [`More were found; this changes the first ${count(found.count)}.`] : []),
    ],
    facts: conditions(filter, found.states),
    fields: fields({}),
    yes: `${name} ${all}`,
    act: (values) => changeAll(verb, found, body(values)),
  });
}

// Change the entries that the dry run counted, and only those still in one of its states.
async function changeAll(verb, found, more) {
  const done = await api.changeAll(verb, { ids: found.ids, state: found.states }, false, more);
  const skipped = found.count - done.count;
  return [
    `${VERBS[verb].confirmation(entries(done.count))}.`,
    ...(skipped > 0 ? [`Skipped ${entries(skipped)} that changed in the meantime.`] : []),
  ].join(" ");
}

// Make the buttons that fit an entry's state.
export const actionButtons = (entry, size = "small") =>
  entry.actions.filter((verb) => size === "big" || COMMON.includes(verb)).map((verb) =>
    h("button", {
      type: "button", class: size, "data-key": `${verb}-${entry.id}`, "aria-label": `${VERBS[verb].name} entry ${entry.id}`,
      click: () => askOne(verb, entry),
    }, VERBS[verb].name));

// Make the buttons that change everything a search found.
export const bulkButtons = (filter, words) =>
  COMMON.map((verb) =>
    h("button", { type: "button", "data-key": `all-${verb}`, click: () => askAll(verb, filter, words) },
      `${VERBS[verb].name} all found…`));
