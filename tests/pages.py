"""The documents as a program reads them: their headings, their blocks of code, and the commands in these."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

#: Before a block whose commands need Azure, a Databricks workspace or a SQL Server: no test runs them.
NEEDS_AZURE = "<!-- needs Azure -->"

_PROMPT = "$ "

#: The command line by the names that the documents give it.
_ORCHESTRATOR = re.compile(r"(?:(?:\.venv/bin/)?python -m )?orchestrator (.*)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block."""

    #: what stands behind the fence, such as ``sh``
    language: str
    text: str
    #: the heading that it stands under
    heading: str
    #: the line above says that its commands need Azure
    needs_azure: bool

    @property
    def commands(self) -> list[str]:
        """The shell commands: of a session what follows the prompt, of a script each line."""
        joined = self.text.replace("\\\n", " ")
        if self.language == "sh":
            return [line.strip() for line in joined.splitlines() if line.strip()]
        if self.language:
            return []
        return [line[len(_PROMPT) :] for line in joined.splitlines() if line.startswith(_PROMPT)]

    @property
    def session(self) -> list[tuple[str, str]]:
        """The commands of a session, each with the answer below it."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        found = (re.match(r"((?:.*\\\n)*.*\n)((?:.|\n)*)", part) for part in parts)
        return [(match[1].replace("\\\n", " ").strip(), match[2]) for match in found if match]

    @property
    def orchestrator(self) -> list[list[str]]:
        """The arguments of the commands that are ours and use nothing else of the shell than comments."""
        found = [match[1] for each in self.commands if (match := _ORCHESTRATOR.fullmatch(each))]
        return [
            shlex.split(each, comments=True) for each in found if not re.search(r" [>|]|<<<|\$| && ", each)
        ]


def blocks(markdown: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document, first to last."""
    heading, before, opened, lines = "", "", "", list[str]()
    for line in markdown.splitlines():
        if opened and line.strip() == "```":
            text = "".join(f"{each}\n" for each in lines)
            yield Block(language=opened[3:], text=text, heading=heading, needs_azure=before == NEEDS_AZURE)
            before, opened, lines = "", "", []
        elif opened:
            lines.append(line)
        elif line.strip().startswith("```"):
            opened = line.strip()
        else:
            before = line.strip()
            heading = line.lstrip("# ") if line.startswith("#") else heading


def anchors(markdown: str) -> set[str]:
    """Return the addresses of the headings, as GitHub and the site of the documents make them."""
    return {anchor(title) for title in re.findall(r"^#+ (.*)$", outside_blocks(markdown), re.MULTILINE)}


def outside_blocks(markdown: str) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", markdown, flags=re.MULTILINE | re.DOTALL)


def anchor(title: str) -> str:
    """Return the address of one heading."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")
