"""The documents name files and headings that exist, and the site of the documents has all of them."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pages import anchors, blocks

DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
]

#: A path of the checkout in backticks: ``orchestrator/core/states.py``, ``tests/store/``.
_PATH = re.compile(r"`((?:orchestrator|devstack|tests|benchmarks|examples|scripts|docs)/[\w./-]*\w/?)`")
_LINK = re.compile(r"\]\(([\w./-]+\.\w+)(?:#[\w-]*)?\)")

#: Programs and addresses that a test does not have. A variable may hold such an address.
_AZURE = re.compile(
    r"(?:^|\$\(|&& )(?:az|azd|databricks|func|sqlcmd) |^(?!export ).*azure(?:websites|databricks)\.net"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [ROOT / path for path in _PATH.findall(text)]
    linked = [document.parent / path for path in _LINK.findall(text)]
    assert [str(path) for path in [*named, *linked] if not path.exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_heading_that_a_document_links_to_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    dead = []
    for name, heading in re.findall(r"\]\(([\w./-]+\.md)?#([^)\s]+)\)", text):
        target = document.parent / name if name else document
        if heading not in anchors(target.read_text(encoding="utf-8")):
            dead.append(f"{name}#{heading}")
    assert dead == []


def test_the_site_has_every_document() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    named = [ROOT / name for name in re.findall(r": (\S+\.md)$", nav, re.MULTILINE)]
    assert sorted(named) == sorted(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_need_azure_and_no_others_are_marked(document: Path) -> None:
    """What is not marked is run: tests/cli/test_documented_commands.py."""
    wrong = [
        block.commands
        for block in blocks(document.read_text(encoding="utf-8"))
        if block.needs_azure is not any(map(_AZURE.search, block.commands))
    ]
    assert wrong == []


def test_the_readme_quotes_rows_of_the_measurements() -> None:
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").split("## How fast it is\n")[1].split("\n## ")[0]
    )
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    measured = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in measured] == []
