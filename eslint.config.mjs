// How `make check` lints the dashboard's scripts.

import js from "@eslint/js";

// Everything that the scripts use of a browser. A name that is neither here nor imported is an error.
const BROWSER = [
  "AbortController", "AbortSignal", "FormData", "ResizeObserver", "URL", "URLSearchParams", "addEventListener",
  "clearTimeout", "document", "fetch", "history", "localStorage", "location", "matchMedia", "setInterval", "setTimeout",
];

export default [
  {
    files: ["orchestrator/web/dashboard/*.js"],
    languageOptions: {
      sourceType: "module",
      globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: "error",
      "no-duplicate-imports": "error",
      "no-shadow": ["error", { builtinGlobals: true }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
