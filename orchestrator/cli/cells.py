"""Texts in CSV cells that a spreadsheet does not take for formulas. Pure.

Errors and names come from outside, and people open an export in a spreadsheet, which would run what begins
like a formula (CWE-1236, https://owasp.org/www-community/attacks/CSV_Injection). So such a text gets an
apostrophe in front.
"""

import re

#: What a formula begins with, its full-width forms too, behind any number of apostrophes: a text that has
#: one already gets one more, so that exactly one can be taken away again.
_FORMULA = re.compile("'*[=+\\-@\t\n\uff1d\uff0b\uff0d\uff20]")


def guarded(text: str) -> str:
    """Return a text for a cell, with an apostrophe before what could be a formula.

    Line ends become plain line feeds: Python before 3.13 leaves a carriage return outside of quotes, where it
    begins a new row.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if _FORMULA.match(lines) else lines


def unguarded(text: str) -> str:
    """Return the text of a cell that :func:`guarded` may have made."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
