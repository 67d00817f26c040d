"""The SQL of a page of the documents: each statement with its name, and one for each dialect."""

import re
from pathlib import Path

DIALECTS = ("sqlite", "sqlserver")

#: A name, the dialect (none: both) and the statement.
_BLOCK = re.compile(r"^<!-- ([a-z-]+) -->\n```sql ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def statements(page: Path) -> dict[tuple[str, str], str]:
    """Return the statements of a page by name and dialect."""
    return {
        (name, dialect): sql
        for name, only, sql in _BLOCK.findall(page.read_text(encoding="utf-8"))
        for dialect in ([only] if only else DIALECTS)
    }


def check_statements(page: Path) -> set[str]:
    """Check that each statement of a page has a name and stands there for both dialects; return the names."""
    found = statements(page)
    text = page.read_text(encoding="utf-8")
    assert len(_BLOCK.findall(text)) == text.count("```sql")
    names = {name for name, _ in found}
    assert found.keys() == {(name, dialect) for name in names for dialect in DIALECTS}
    return names
