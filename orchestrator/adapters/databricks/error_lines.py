"""Find the lines of a trace or of standard output that say what went wrong. Pure."""

import re

#: What is searched, in characters from the end: what ended the code stands there. Databricks may send 5 MB.
_END_CHARACTERS = 20_000
#: A line that names an error, and those below that may explain it.
_LINES = 3

_TRACEBACK = "Traceback (most recent call last)"
#: The first such line below a traceback names the exception; frames and code stand in between.
_EXCEPTION = re.compile(r"[^\W\d][\w.]*(?::.*)?")
#: Words of an error. A count of them, such as "ERROR=1", is none.
_ERROR = re.compile(r"(?:error|exception|failed|failure|fatal)\b(?!\s*(?:=|:\s*0\b))", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
#: The frames of the Java virtual machine.
_FRAME = re.compile(r"\s+(?:at |\.\.\. \d+ more)")


def error_in(text: str | None) -> str | None:
    """Return the lines that name the last error; without any, the last line that says something."""
    if text is None:
        return None
    end = text if len(text) <= _END_CHARACTERS else f"…{text[-_END_CHARACTERS:]}"
    lines = [line.rstrip() for line in end.splitlines() if _LETTER.search(line) and not _FRAME.match(line)]
    exception = _exception(lines)
    named = [at for at in (exception, _last_error(lines, exception or 0)) if at is not None]
    told = {at for start in named for at in range(start, start + _LINES) if at < len(lines)}
    return "\n".join(lines[at] for at in sorted(told)).strip() if told else next(reversed(lines), None)


def _exception(lines: list[str]) -> int | None:
    """Return the place of the exception below the last traceback."""
    heads = [at for at, line in enumerate(lines) if _TRACEBACK in line]
    below = range(heads[-1] + 1, len(lines)) if heads else ()
    return next((at for at in below if _EXCEPTION.fullmatch(lines[at])), None)


def _last_error(lines: list[str], first: int) -> int | None:
    """Return the place of the last line with the words of an error. Code above ``first`` has them, too."""
    return next((at for at in reversed(range(first, len(lines))) if _ERROR.search(lines[at])), None)
