"""The version stands in one place, and the changelog knows every version that was released."""

import re
from pathlib import Path

from orchestrator.core.version import VERSION

ROOT = Path(__file__).parents[1]

_RELEASED = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


def test_the_version_is_the_newest_release_or_the_one_after_it() -> None:
    released = _RELEASED.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if VERSION.endswith(".dev0"):
        assert VERSION.removesuffix(".dev0") not in released
    else:
        assert released[:1] == [VERSION]


def test_the_version_is_written_once() -> None:
    files = [*(ROOT / "orchestrator").rglob("*.py"), *ROOT.glob("*.toml"), ROOT / "function_app.py"]
    with_it = [path for path in files if f'"{VERSION}"' in path.read_text(encoding="utf-8")]
    assert with_it == [ROOT / "orchestrator/core/version.py"]
