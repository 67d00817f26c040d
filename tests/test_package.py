"""What is deployed from a checkout in which somebody has worked: only the app, whoever packs it."""

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What belongs in: these files, and all of these folders.
FILES = {"function_app.py", "host.json", "requirements.txt", "constraints.txt"}
FOLDERS = ("orchestrator", ".python_packages")

#: What people and tools leave in a checkout.
DIRT = (
    ".env",
    ".git/config",
    ".github/workflows/ci.yml",
    ".hypothesis/unicode_data/data.json.gz",
    ".idea/workspace.xml",
    ".mypy_cache/3.11/a.json",
    ".venv/lib/python3.11/site-packages/a.py",
    ".vscode/settings.json",
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
    "orchestrator/__pycache__/bootstrap.cpython-311.pyc",
    "orchestrator/adapters/store/__pycache__/pool.cpython-311.pyc",
    "orchestrator/core/__pycache__/states.cpython-311.pyc",
    "oracle/a",
    "orchestrator-old/bootstrap.py",
    "orchestrator.egg-info/PKG-INFO",
    "orchestrator/.env",
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

#: With ``--no-build``, and from GitHub's action, the packages are deployed as well.
PACKAGES = (".python_packages/lib/site-packages/azure/functions/__init__.py",)


def core_tools(files: Iterable[str]) -> set[str]:
    """Return what Core Tools packs, by the rules of its own reader of ``.funcignore``.

    A line is the beginning of a path, a slash at its own beginning aside; ``*`` is one character or more but
    no slash, ``**`` one or more of any. What a line with ``!`` matches is packed whatever others say.
    https://github.com/Azure/azure-functions-core-tools, GitIgnoreParser
    """
    lines = [line.strip() for line in (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    packed = [_begins_with(rule.removeprefix("!")) for rule in rules if rule.startswith("!")]
    ignored = [_begins_with(rule) for rule in rules if not rule.startswith("!")]
    return {
        file
        for file in files
        if any(rule.match(file) for rule in packed) or not any(rule.match(file) for rule in ignored)
    }


def _begins_with(rule: str) -> re.Pattern[str]:
    escaped = re.escape(rule.removeprefix("/"))
    return re.compile(escaped.replace(r"\*\*", ".+").replace(r"\*", "[^/]+"))


def as_git_does(files: Iterable[str], folder: Path) -> set[str]:
    """Return what the rules of ``.gitignore`` leave, as git itself reads them."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True, timeout=30)
    (folder / ".git" / "info" / "exclude").write_text((ROOT / ".funcignore").read_text(encoding="utf-8"))
    listed = subprocess.run(
        ["git", "-C", str(folder), "check-ignore", "--no-index", "--stdin"],
        input="\n".join(file for file in files if not file.startswith(".git/")),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(files) - set(listed.stdout.splitlines()) - {".git/config"}


@pytest.fixture
def checkout() -> set[str]:
    """The files of the app and whatever else may lie beside them; of other folders, one file each."""
    app = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "orchestrator").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    beside = {path.name if path.is_file() else f"{path.name}/a/b.py" for path in ROOT.iterdir()}
    return {*app, *beside, *DIRT, *PACKAGES} - {"orchestrator/a/b.py", ".git/a/b.py"}


@pytest.mark.parametrize("reader", ["Core Tools", "GitHub's action"])
def test_only_the_app_is_packed(checkout: set[str], tmp_path: Path, reader: str) -> None:
    pack: dict[str, Callable[[], set[str]]] = {
        "Core Tools": lambda: core_tools(checkout),
        "GitHub's action": lambda: as_git_does(sorted(checkout), tmp_path),
    }
    wanted = {
        file
        for file in checkout
        if (file in FILES or file.startswith(tuple(f"{folder}/" for folder in FOLDERS)))
        and "__pycache__" not in file
        and file not in DIRT
    }
    assert pack[reader]() == wanted
    assert {*FILES, *PACKAGES, "orchestrator/web/dashboard/entries.js"} < wanted
