"""The documents name files that exist."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

#: A path of the checkout in backticks: ``orchestrator/core/states.py``, ``tests/store/``.
_PATH = re.compile(r"`((?:orchestrator|devstack|tests|benchmarks|examples|scripts|docs)/[\w./-]*\w/?)`")
_LINK = re.compile(r"\]\(([\w./-]+\.\w+)(?:#[\w-]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [ROOT / path for path in _PATH.findall(text)]
    linked = [document.parent / path for path in _LINK.findall(text)]
    assert [str(path) for path in [*named, *linked] if not path.exists()] == []
