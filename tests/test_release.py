"""The version stands in one place, and the changelog knows every released version and its schema."""

import re
from pathlib import Path

from orchestrator.core.version import VERSION

ROOT = Path(__file__).parents[1]

_RELEASED = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)

_SCHEMA = re.compile(r"^Schema of the database: (\d+)\.$", re.MULTILINE)


def test_the_version_is_the_newest_release_or_the_one_after_it() -> None:
    released = _RELEASED.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if VERSION.endswith(".dev0"):
        assert VERSION.removesuffix(".dev0") not in released
    else:
        assert released[:1] == [VERSION]


def test_the_changelog_names_the_schema_of_each_release_and_the_newest_one_first() -> None:
    """Who updates must know whether the database changes, and whether an older version still fits it."""
    _, unreleased, *released = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## [")
    named = [_SCHEMA.findall(section) for section in released]
    assert [len(each) for each in named] == [1] * len(released)
    migrations = (ROOT / "orchestrator/adapters/store/sql").glob("*/migrations/*.sql")
    newest = max(int(path.name.partition("_")[0]) for path in migrations)
    assert (_SCHEMA.findall(unreleased) or named[0]) == [str(newest)]


def test_the_version_is_written_once() -> None:
    files = [*(ROOT / "orchestrator").rglob("*.py"), *ROOT.glob("*.toml"), ROOT / "function_app.py"]
    with_it = [path for path in files if f'"{VERSION}"' in path.read_text(encoding="utf-8")]
    assert with_it == [ROOT / "orchestrator/core/version.py"]
