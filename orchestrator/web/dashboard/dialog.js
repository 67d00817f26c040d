// Asks before something is changed, and confirms it afterwards.

import { byId, h } from "./dom.js";
import { refresh } from "./refresh.js";

const TOAST_MS = 8000;

function showToast(text) {
  const place = byId("toast");
  place.textContent = text;
  clearTimeout(place.timer);
  place.timer = setTimeout(() => place.replaceChildren(), TOAST_MS);
}

// Open the dialog. `act` returns the text that confirms the change; when it fails, the dialog stays open with the reason.
// Without `act`, the dialog only informs.
export function ask({ title, text, yes, act }) {
  const dialog = byId("ask");
  const failure = byId("ask-error");
  const button = byId("ask-yes");
  byId("ask-title").textContent = title;
  byId("ask-text").replaceChildren(...text.map((line) => h("p", {}, line)));
  byId("ask-no").textContent = act ? "No, go back" : "Close";
  button.textContent = yes ?? "";
  button.hidden = !act;
  button.disabled = false;
  failure.hidden = true;
  button.onclick = async () => {
    button.disabled = true;
    button.textContent = "Working…";
    try {
      const confirmation = await act();
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
  dialog.showModal();
  (act ? button : byId("ask-no")).focus();
}
