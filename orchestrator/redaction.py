"""Makes other people's words fit to be shown: without secrets, on one line. Pure."""

import json
from collections.abc import Iterable

#: What stands in place of a secret.
STRUCK = "[…]"

#: Shorter values stay: they would take ordinary words with them.
SHORTEST = 4

#: So many characters of a value are struck out wherever they stand: servers quote only the beginning of a
#: long value, and a text that was cut by its middle may have cut one in two.
FRAGMENT = 12


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text with each of these values struck out, whole or in part, plain or as JSON has it."""
    fragments = _fragments(secrets)
    lengths = {len(fragment) for fragment in fragments}
    pieces: list[str] = []
    end = 0  # of what is struck out so far
    for at, character in enumerate(text):
        reach = max((length for length in lengths if text[at : at + length] in fragments), default=0)
        if at >= end:
            pieces.append(STRUCK if reach else character)
        if reach:
            end = max(end, at + reach)
    return "".join(pieces)


def one_line(name: str) -> str:
    """Return a name as it is, or quoted where it holds line breaks and such: it could forge a log line."""
    return name if name.isprintable() else ascii(name)


def _fragments(secrets: Iterable[str]) -> frozenset[str]:
    long_enough = [secret for secret in secrets if len(secret) >= SHORTEST]
    forms = {form for secret in long_enough for form in (secret, json.dumps(secret)[1:-1])}
    return frozenset(
        form[at : at + FRAGMENT] for form in forms for at in range(max(1, len(form) - FRAGMENT + 1))
    )
