"""What is deployed from a checkout in which somebody has worked: only the app, whoever packs it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What belongs in: these files, and all of these folders.
FILES = {"function_app.py", "host.json", "requirements.txt", "constraints.txt"}
FOLDERS = ("orchestrator", ".python_packages")

#: What people and tools leave in a checkout.
DIRT = (
    "#x",
    "$x/a",
    "%x",
    "&x",
    "'x'",
    "(copy)/customers",
    "+x",
    ",x",
    "-x",
    ".env",
    ".git/config",
    ".github/workflows/ci.yml",
    ".hypothesis/unicode_data/data.json.gz",
    ".idea/workspace.xml",
    ".mypy_cache/3.11/a.json",
    ".python_packages.bak/a.py",
    ".python_packages_old/a.py",
    ".venv/lib/python3.11/site-packages/a.py",
    ".vscode/settings.json",
    " x",
    "!x",
    ";x",
    "=x",
    "@x/a",
    "[x]",
    "^x",
    "_notes.txt",
    "`x",
    "a",
    "b/customers",
    "{x}",
    "~backup",
    "«x»",
    "ärchetor",
    "ämter.csv",
    "данные/клиенты.csv",
    "__azurite_db_queue__.json",
    "__blobstorage__/a",
    "__pycache__/function_app.cpython-311.pyc",
    "__queuestorage__/a",
    "AzuriteConfig",
    "app.zip",
    "azure.yaml",
    "azurite.log",
    "azurite/a",
    "build/lib/orchestrator/bootstrap.py",
    "coverage.xml",
    "data/customers",
    "dist/app.whl",
    "env/bin/python",
    "forward.sql",
    "htmlcov/index.html",
    "infra/main.bicep",
    "local.settings.json",
    "local.settings.json.bak",
    "mkdocs.yml",
    "my-cost.toml",
    "node_modules/azurite/package.json",
    "nohup.out",
    "notebooks/load",
    "o",
    "or/a",
    "orchestrato",
    "orchestrator/__pycache__/bootstrap.cpython-311.pyc",
    "orchestrator/adapters/store/__pycache__/pool.cpython-311.pyc",
    "orchestrator/core/__pycache__/states.cpython-311.pyc",
    "oracle/a",
    "orchestrator-old/bootstrap.py",
    "orchestrator.egg-info/PKG-INFO",
    "orchestrator/#x",
    "orchestrator/.env",
    "orchestrator/core/customers.csv",
    "orchestrator/core/данные/клиенты",
    "orchestrator/web/token",
    "orchestrator/local.settings.json",
    "orchestrator/state.db",
    "orders/a",
    "orders.csv",
    "output/a",
    "package-lock.json",
    "package.json",
    "rows.csv",
    "schema.sql",
    "scratch.py",
    "state.db",
    "state.db.bak",
    "state.db-shm",
    "state.db-wal",
    "state.sqlite",
    "state.sqlite3",
    "token",
    "token.txt",
    "venv/bin/python",
    "work.db-journal",
)

#: What lies beside the app's files under their names and something more. To Core Tools each line is the
#: beginning of a path, so none can pack the one and leave out the other.
BACKUPS = {"function_app.py~", "host.json.bak", "orchestrator/bootstrap.py.orig"}

#: What has no Latin letter, digit or underscore in its whole path. To newer Core Tools, what a line matches
#: ends where a word begins or ends, and there is no word to it in these.
NO_WORDS = {"+", "данные/клиенты", "数据"}

#: With ``--no-build``, and from GitHub's action, the packages are deployed as well.
PACKAGES = (".python_packages/lib/site-packages/azure/functions/__init__.py",)


def core_tools(files: Iterable[str], *, end: str = r"\b") -> set[str]:
    """Return what Core Tools packs, by the rules of its own reader of ``.funcignore``.

    A line is the beginning of a path, a slash at its own beginning aside; ``*`` is one character or more but
    no slash, ``**`` one or more of any. What a line with ``!`` matches is packed whatever others say.
    https://github.com/Azure/azure-functions-core-tools, GitIgnoreParser

    :param end: what comes behind each line; nothing did in older versions.
    """
    lines = [line.strip() for line in (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    packed = [_begins_with(rule.removeprefix("!"), end) for rule in rules if rule.startswith("!")]
    ignored = [_begins_with(rule, end) for rule in rules if not rule.startswith("!")]
    return {
        file
        for file in files
        if any(rule.match(file) for rule in packed) or not any(rule.match(file) for rule in ignored)
    }


def _begins_with(rule: str, end: str) -> re.Pattern[str]:
    escaped = re.escape(rule.removeprefix("/"))
    return re.compile(escaped.replace(r"\*\*", ".+").replace(r"\*", "[^/]+") + end, re.ASCII)


def as_git_does(files: Iterable[str], folder: Path) -> set[str]:
    """Return what the rules of ``.gitignore`` leave, as git itself reads them; other tools follow them."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True, timeout=30)
    (folder / ".git" / "info" / "exclude").write_text((ROOT / ".funcignore").read_text(encoding="utf-8"))
    listed = subprocess.run(
        ["git", "-C", str(folder), "check-ignore", "--no-index", "--stdin", "-z"],  # or it quotes umlauts
        input="\0".join(file for file in files if not file.startswith(".git/")),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(files) - set(listed.stdout.split("\0")) - {".git/config"}


#: How GitHub's action reads the file: it removes what the package ``ignore`` names, folders with all in them.
#: https://github.com/Azure/functions-action, funcignore.ts
_ACTION = """
const lines = require("fs").readFileSync(".funcignore").toString().split("\\n").filter((line) => line.trim());
const paths = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(paths.filter((path) => require("ignore")().add(lines).ignores(path))));
"""


def action(files: Iterable[str]) -> set[str]:
    """Return what GitHub's action leaves."""
    parts = {file: [file, *(str(parent) for parent in Path(file).parents if parent.name)] for file in files}
    paths = sorted({path for each in parts.values() for path in each})
    done = subprocess.run(
        ["node", "-e", _ACTION],
        cwd=ROOT,
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    removed = set(json.loads(done.stdout))
    return {file for file, each in parts.items() if removed.isdisjoint(each)}


def azd(files: Iterable[str]) -> set[str]:
    """Return what azd packs: of each folder and file, the last line that matches it decides.

    https://github.com/Azure/azure-dev, project_utils.go, with https://github.com/denormal/go-gitignore
    """
    lines = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in reversed(lines) if line and not line.startswith("#")]

    def is_packed(path: str) -> bool:
        rule = next((rule for rule in rules if _azd_matches(rule.removeprefix("!/").strip("/"), path)), "!")
        return rule.startswith("!")

    def parts(file: str) -> list[str]:
        names = file.split("/")
        return ["/".join(names[: end + 1]) for end in range(len(names))]

    return {file for file in files if all(map(is_packed, parts(file)))}


def _azd_matches(rule: str, path: str) -> bool:
    if "/" not in rule and rule != "**":
        return fnmatchcase(path, rule)  # of slashes, too
    return _match_names(rule.split("/"), path.split("/"))


def _match_names(rules: Sequence[str], names: Sequence[str]) -> bool:
    """Compare name by name; ``**`` is any number of them, and also none."""
    if not rules:
        return not names
    if rules[0] == "**":
        return any(_match_names(rules[1:], names[start:]) for start in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], rules[0]) and _match_names(rules[1:], names[1:])


@pytest.fixture
def checkout() -> set[str]:
    """The files of the app and whatever else may lie beside them; of other folders, one file each."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "orchestrator"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=30).stdout
    app = {name for name in listed.split("\0") if (ROOT / name).is_file()}
    beside = {path.name if path.is_file() else f"{path.name}/a/b.py" for path in ROOT.iterdir()}
    return {*app, *beside, *DIRT, *BACKUPS, *NO_WORDS, *PACKAGES} - {"orchestrator/a/b.py", ".git/a/b.py"}


#: What a reader packs besides, since no line can tell it otherwise; docs/deploy.md says so.
BESIDES: dict[str, set[str]] = {
    "Core Tools": BACKUPS | NO_WORDS,
    "older Core Tools": BACKUPS,
    "GitHub's action": set(),
    "azd": set(),
    "git": set(),
}


@pytest.mark.parametrize("reader", BESIDES)
def test_only_the_app_is_packed(checkout: set[str], tmp_path: Path, reader: str) -> None:
    pack: dict[str, Callable[[], set[str]]] = {
        "Core Tools": lambda: core_tools(checkout),
        "older Core Tools": lambda: core_tools(checkout, end=""),
        "GitHub's action": lambda: action(checkout),
        "azd": lambda: azd(checkout),
        "git": lambda: as_git_does(sorted(checkout), tmp_path),
    }
    wanted = {
        file
        for file in checkout
        if (file in FILES or file.startswith(tuple(f"{folder}/" for folder in FOLDERS)))
        and "__pycache__" not in file
        and file not in {*DIRT, *BACKUPS}
    }
    assert pack[reader]() == wanted | BESIDES[reader]
    assert {*FILES, *PACKAGES, "orchestrator/web/dashboard/entries.js"} < wanted
