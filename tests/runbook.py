"""docs/runbook.md as a program reads it: the reasons that it explains, and the commands that it gives."""

import re
from pathlib import Path

from tests.pages import anchor

PAGE = (Path(__file__).parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")

_ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$", re.MULTILINE)
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
