"""Core, ports and use cases import the standard library and one another, nothing else."""

import ast
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "orchestrator"
PURE = sorted(
    [*(PACKAGE / "core").rglob("*.py"), PACKAGE / "ports.py", *(PACKAGE / "usecases").rglob("*.py")]
)


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_standard_library_is_imported(path: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "import by full names"
            found.add((node.module or "").partition(".")[0])
    assert found - sys.stdlib_module_names <= {"orchestrator"}
