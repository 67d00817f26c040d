"""Makes other people's words fit to be shown: without secrets, on one line. Pure."""

import json
import re
from collections.abc import Iterable

#: What stands in place of a secret.
STRUCK = "[…]"

#: Shorter values stay: they would take ordinary words with them.
SHORTEST = 4

#: So many characters of a value are struck out wherever they stand: servers quote only the beginning of a
#: long value, and a text that was cut by its middle may have cut one in two. Shorter values are struck out
#: where they stand as a word.
FRAGMENT = 12

#: Values that tell nothing: yes and no, and numbers up to a year's.
_PLAIN = re.compile(r"true|false|-?\d{1,4}", re.IGNORECASE)


def without(text: str, secrets: Iterable[str], *, keep: str = "") -> str:
    """Return a text with each of these values struck out, whole or in part, plain or as JSON has it.

    :param keep: a name that everybody may see; a value or a part of one that stands in it stays.
    """
    forms = {form for secret in secrets if _is_telling(secret) for form in (secret, json.dumps(secret)[1:-1])}
    text = _without_fragments(text, [form for form in forms if len(form) >= FRAGMENT], keep)
    return _without_words(text, [form for form in forms if len(form) < FRAGMENT and form not in keep])


def _is_telling(secret: str) -> bool:
    return len(secret) >= SHORTEST and not _PLAIN.fullmatch(secret)


def _without_words(text: str, values: Iterable[str]) -> str:
    choice = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{choice})(?!\w)", STRUCK, text) if choice else text


def _without_fragments(text: str, values: Iterable[str], keep: str) -> str:
    parts = (value[at : at + FRAGMENT] for value in values for at in range(len(value) - FRAGMENT + 1))
    fragments = {part for part in parts if part not in keep}
    pieces: list[str] = []
    end = 0  # of what is struck out so far
    for at, character in enumerate(text):
        found = text[at : at + FRAGMENT] in fragments
        if at >= end:
            pieces.append(STRUCK if found else character)
        if found:
            end = at + FRAGMENT
    return "".join(pieces)


def one_line(name: str) -> str:
    """Return a name as it is, or quoted where it holds line breaks and such: it could forge a log line."""
    return name if name.isprintable() else ascii(name)
