// Switches between light and dark. The theme follows the system until one is chosen here.

import { byId } from "./dom.js";

const KEY = "orchestrator-theme";

// A browser that forbids storage forgets the choice.
const storage = (() => {
  try {
    return localStorage;
  } catch {
    return null;
  }
})();
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const button = byId("theme");
let chosen = storage?.getItem(KEY) ?? null;

function apply() {
  const dark = (chosen ?? (systemDark.matches ? "dark" : "light")) === "dark";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
}

export function startTheme() {
  button.addEventListener("click", () => {
    chosen = button.textContent.toLowerCase();
    storage?.setItem(KEY, chosen);
    apply();
  });
  systemDark.addEventListener("change", apply);
  apply();
}
