"""Redact secrets in other systems' texts and quote unprintable names before they are logged. Pure."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

#: Replaces a secret.
REDACTED = "[…]"

#: Shorter values are kept: removing them would also remove ordinary words.
_SHORTEST = 4

#: This many consecutive characters of a value are removed wherever they occur: servers quote only the
#: beginning of a long value, and a shortened text may contain only part of one. Shorter values are removed
#: where they occur as a word.
_FRAGMENT = 12

#: Values that are no secret: true and false, and numbers of up to four digits, such as years.
_PLAIN = re.compile(r"true|false|-?\d{1,4}", re.IGNORECASE)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these values, whole or in part, plain or escaped as in JSON or in a URL."""
    forms = {form for secret in secrets if _is_secret(secret) for form in _forms(secret)}
    text = _without_fragments(text, [form for form in forms if len(form) >= _FRAGMENT])
    return _without_words(text, [form for form in forms if len(form) < _FRAGMENT])


def _forms(secret: str) -> tuple[str, ...]:
    in_url = quote(secret, safe="", errors="replace")
    return secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], in_url


def _is_secret(secret: str) -> bool:
    return len(secret) >= _SHORTEST and not _PLAIN.fullmatch(secret)


def _without_words(text: str, values: Iterable[str]) -> str:
    choice = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{choice})(?!\w)", REDACTED, text) if choice else text


def _without_fragments(text: str, values: Iterable[str]) -> str:
    fragments = {value[at : at + _FRAGMENT] for value in values for at in range(len(value) - _FRAGMENT + 1)}
    pieces: list[str] = []
    end = 0  # of the part removed last
    for at, character in enumerate(text):
        found = text[at : at + _FRAGMENT] in fragments
        if at >= end:
            pieces.append(REDACTED if found else character)
        if found:
            end = at + _FRAGMENT
    return "".join(pieces)


def in_one_line(text: str) -> str:
    """Return a person's text without line breaks; what cannot be printed becomes a space."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def one_line(name: str) -> str:
    """Return a printable name unchanged; quote any other, since a line break in it could forge a log line."""
    return name if name.isprintable() else ascii(name)
