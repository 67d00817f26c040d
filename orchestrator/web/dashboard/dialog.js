// Asks before something is changed, and confirms it afterwards.

import { byId, focusOn, h } from "./dom.js";
import { refresh } from "./refresh.js";

const TOAST_MS = 8000;
const MAX_TEXT = 1000;

function showToast(text) {
  const place = byId("toast");
  place.textContent = text;
  clearTimeout(place.timer);
  place.timer = setTimeout(() => place.replaceChildren(), TOAST_MS);
}

const makeFact = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

// Make a field under its label: a choice between [value, text] pairs, or else a text that must be given.
const makeField = ({ key, label, choices }) =>
  h("label", {}, label, choices
    ? h("select", { name: key }, choices.map(([value, text]) => h("option", { value }, text)))
    : h("textarea", { name: key, rows: 2, maxlength: MAX_TEXT, required: true }));

// Open the dialog. `facts` are [name, value] pairs that say what is changed. `act` gets the fields' values by key and returns the text that confirms the change; when it fails, the
// dialog stays open with the reason. Without `act`, the dialog only informs.
export function ask({ title, text, facts = [], fields = [], yes, act }) {
  const dialog = byId("ask");
  const failure = byId("ask-error");
  const button = byId("ask-yes");
  const form = dialog.querySelector("form");
  byId("ask-title").textContent = title;
  byId("ask-text").replaceChildren(
    ...text.map((line) => h("p", {}, line)),
    facts.length > 0 ? h("dl", { class: "facts" }, facts.map(makeFact)) : "");
  byId("ask-fields").replaceChildren(...fields.map(makeField));
  byId("ask-no").textContent = act ? "No, go back" : "Close";
  button.textContent = yes ?? "";
  button.hidden = !act;
  button.disabled = false;
  failure.hidden = true;
  button.onclick = async () => {
    if (!form.reportValidity()) return;
    button.disabled = true;
    button.textContent = "Working…";
    try {
      const confirmation = await act(Object.fromEntries(new FormData(form)));
      dialog.close();
      showToast(confirmation);
      refresh();
    } catch (error) {
      failure.textContent = error.message;
      failure.hidden = false;
      button.disabled = false;
      button.textContent = yes;
    }
  };
  const opener = document.activeElement?.dataset.key;
  dialog.addEventListener("close", () => {
    // The browser gives the focus back to what opened the dialog, unless the view was rebuilt meanwhile.
    const isLost = document.activeElement === document.body || dialog.contains(document.activeElement);
    if (isLost) focusOn(byId("view"), opener);
  }, { once: true });
  dialog.showModal();
  (form.querySelector("textarea") ?? (act ? button : byId("ask-no"))).focus();
}
