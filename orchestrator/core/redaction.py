"""Redact secrets in other systems' texts and quote unprintable names before they are logged. Pure."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

#: Replaces a secret.
REDACTED = "[…]"

#: Shorter values are kept: removing them would also remove ordinary words.
_SHORTEST = 4

#: This many consecutive characters of a value are removed wherever they occur: servers quote only the
#: beginning of a long value, and a shortened text may contain only part of one. Shorter values are removed
#: where they occur as a word.
_FRAGMENT = 12

#: Where a text was cut. What stands of a value beside it may be shorter than a fragment.
_CUT = re.compile(r"(\s?(?<!\[)…(?!\])\s?)")

#: Fewer characters beside a cut are kept: they tell nothing, and ordinary words begin like that.
_SHORTEST_REST = 3

_ESCAPE = re.compile(r"%[0-9A-F]{2}")

#: What base64 for addresses has instead.
_URL_SAFE = str.maketrans("+/", "-_")

#: Values that are no secret: true and false, and numbers of up to four digits, such as years.
_PLAIN = re.compile(r"true|false|-?\d{1,4}", re.IGNORECASE)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these values, whole or in part: plain, in base64, as in JSON or in a URL."""
    forms = {form for secret in secrets if _is_secret(secret) for form in _forms(secret)}
    text = _without_fragments(text, [form for form in forms if len(form) >= _FRAGMENT])
    text = _without_words(text, [form for form in forms if len(form) < _FRAGMENT])
    return _without_rests(text, forms) if forms else text


def _forms(secret: str) -> tuple[str, ...]:
    in_url = quote(secret, safe="", errors="replace")
    return (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        in_url,
        _ESCAPE.sub(lambda escape: escape[0].lower(), in_url),
        *_in_base64(secret.encode(errors="replace")),
    )


def _in_base64(secret: bytes) -> Iterator[str]:
    """Yield what base64 has of a secret, wherever it stands in what was encoded, as in ``user:password``.

    The characters at both ends depend on what stands beside the secret.
    """
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret).decode().rstrip("=")
        certain = text[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        yield certain
        yield certain.translate(_URL_SAFE)


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


def _without_rests(text: str, values: Iterable[str]) -> str:
    """Remove what a cut has left of values: the start of one before it, the end of one after it."""
    pieces = _CUT.split(text)  # each second one is a cut
    starts, ends = _rests(values)
    for at in range(0, len(pieces), 2):
        if at > 0:
            pieces[at] = _without_start(pieces[at], ends)
        if at < len(pieces) - 1:
            pieces[at] = _without_end(pieces[at], starts)
    return "".join(pieces)


def _rests(values: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the starts and the ends of values that are no fragment yet."""
    parts = [
        (value, size) for value in values for size in range(_SHORTEST_REST, min(len(value), _FRAGMENT) + 1)
    ]
    return {value[:size] for value, size in parts}, {value[-size:] for value, size in parts}


def _without_start(text: str, ends: set[str]) -> str:
    size = next((size for size in range(_FRAGMENT, 0, -1) if text[:size] in ends), 0)
    return REDACTED + text[size:] if size else text


def _without_end(text: str, starts: set[str]) -> str:
    size = next((size for size in range(_FRAGMENT, 0, -1) if text[-size:] in starts), 0)
    return text[:-size] + REDACTED if size else text


def in_one_line(text: str) -> str:
    """Return a person's text without line breaks; what cannot be printed becomes a space."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def one_line(name: str) -> str:
    """Return a printable name unchanged; quote any other, since a line break in it could forge a log line."""
    return name if name.isprintable() else ascii(name)
