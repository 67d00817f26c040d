"""docs/runbook.md as a program reads it: the reasons that it explains, and the commands that it gives."""

import re
import shlex
from pathlib import Path

from tests.headings import anchor

PAGE = (Path(__file__).parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")

#: Before a block whose commands need Azure, so that no test runs them.
_AZURE = "<!-- needs Azure -->"

_ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$", re.MULTILINE)
_BLOCK = re.compile(r"^([^\n]*)\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SQL = re.compile(r"^<!-- ([a-z-]+) -->\n```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: The statements by name.
STATEMENTS = dict(_SQL.findall(PAGE))


def section(title: str) -> str:
    """Return the text of a section."""
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


#: The sections to which a reason leads, by the reason with … for what differs.
SECTIONS = {
    words: re.findall(r"\]\(#([\w-]+)\)", links) for words, links in _ROW.findall(section("What health says"))
}


def words_of(reason: str) -> str | None:
    """Return the words on the page that stand for a reason; None = there are none."""
    found = [words for words in SECTIONS if _pattern(words).fullmatch(reason)]
    # Of two the longer ones say more: "QUEUED for longer than two leases" begins another reason.
    return max(found, key=len, default=None)


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, words.split("…"))), re.DOTALL)


def symptoms() -> list[str]:
    """Return the titles of the sections to which reasons lead."""
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    links = {link for found in SECTIONS.values() for link in found}
    return [title for title in titles if anchor(title) in links]


def command_blocks() -> list[list[list[str]]]:
    """Return the blocks of shell commands that need no Azure: of each block its commands, as their words."""
    blocks = [text for before, text in _BLOCK.findall(PAGE) if before != _AZURE]
    return [[shlex.split(line) for line in text.splitlines()] for text in blocks]
