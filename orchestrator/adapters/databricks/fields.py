"""Read single fields of Databricks' JSON, whatever they hold. Pure."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from orchestrator.core.numbers import MAX_ID
from orchestrator.core.outcomes import has_known_state, is_over

Json = Mapping[str, Any]

#: A message is cut to this, in characters: a paragraph that a person can read in a list.
MESSAGE_CHARACTERS = 2_000
#: Names are cut to this: the longest known enum value has 35 characters, a task key may have 100.
NAME_CHARACTERS = 100
#: A longer page token is refused. They have some hundred characters; servers commonly accept 8,000 in a URL.
_PAGE_TOKEN_CHARACTERS = 4_000

#: Fields of an error's text. The first is that of the API, the others are of gateways and of sign-in.
ERROR_TEXTS = ("message", "detail", "error_description", "error")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: States in which ``status.queue_details`` tells that the run is queued; afterwards they may stay.
_MAY_BE_QUEUED = frozenset({"BLOCKED", "PENDING", "WAITING_FOR_RETRY"})

#: ``status.state`` → ``state.life_cycle_state`` where the two names differ.
_LIFE_CYCLE_OF_STATUS = {"WAITING": "WAITING_FOR_RETRY"}

#: The digits of a 64-bit integer.
_DIGITS = re.compile(r"[0-9]{1,19}")
#: Up to here a floating-point number holds every integer.
_EXACT_FLOAT = 2.0**53

#: Colours and cursor movements, of which notebook tracebacks are full.
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def json_object(body: bytes) -> Json | None:
    """Return the JSON object that a body holds, or None."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested thousands deep
        return None
    return content if isinstance(content, dict) else None


def says_error(content: Json) -> bool:
    """Say whether a 2xx body has a field of an error."""
    return any(content.get(name) for name in ("error_code", *ERROR_TEXTS))


def cut(text: str, limit: int) -> str:
    """Cut the middle out of a text that is longer than ``limit``: its start says where, its end says what."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]} … {text[len(text) - (limit - head - 3) :]}"


def clean(text: str) -> str:
    """Drop what no database column and no log can use: terminal colours, NUL, half surrogate pairs."""
    return _ANSI.sub("", text).replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def page_token_of(content: Json) -> str | None:
    """Return the token that asks for the next page, or None if there is no usable one."""
    token = content.get("next_page_token")
    return token if is_page_token(token) else None


def life_cycle_state_of(state: Json, status: Json) -> str | None:
    """Return the state of a run or task, from the deprecated field ``state`` and the newer ``status``.

    The deprecated one has the more exact names, such as SKIPPED. Where the two differ about whether the run
    is over, as they may after a repair, the newer one counts.
    """
    older, newer = name_of(state.get("life_cycle_state")), name_of(status.get("state"))
    told = newer and _LIFE_CYCLE_OF_STATUS.get(newer, newer)
    if older is not None and (told is None or not _overrules(told, older)):
        told = older
    if told in _MAY_BE_QUEUED and (newer == "QUEUED" or object_at(status, "queue_details")):
        return "QUEUED"
    return told


def _overrules(newer: str, older: str) -> bool:
    """Say whether a state is known and contradicts another one, or the other one is not known."""
    return has_known_state(newer) and (
        not has_known_state(older) or is_over(newer, ended=False) is not is_over(older, ended=False)
    )


def object_at(content: Json, name: str) -> Json:
    """Return the object called ``name``, an empty one if there is none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def text_of(value: object, limit: int | None) -> str | None:
    """Return a text, cleaned and cut; None if it is blank or not a text."""
    if not isinstance(value, str):
        return None
    text = clean(value).strip()
    return (text if limit is None else cut(text, limit)) or None


def name_of(value: object) -> str | None:
    """Return a value of an enum, in capital letters as Databricks documents it."""
    name = text_of(value, NAME_CHARACTERS)
    return None if name is None else name.upper()


def is_int(value: object) -> TypeGuard[int]:
    """Say whether it is an integer; JSON's true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def id_of(value: object) -> int | None:
    """Return a positive 64-bit integer, or None.

    Some servers send it as text, as JSON forms of 64-bit integers do, or with a fraction of zero.
    """
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value) else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() and value <= _EXACT_FLOAT else None
    return value if is_int(value) and 0 < value <= MAX_ID else None


def is_page_token(value: object) -> TypeGuard[str]:
    """Say whether it can be sent back in a URL: half a surrogate pair cannot."""
    return isinstance(value, str) and 0 < len(value) <= _PAGE_TOKEN_CHARACTERS and clean(value) == value


def _milliseconds(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) and value >= 0 else None
    except OverflowError:  # an integer of more than 308 digits
        return None


def seconds_of(value: object) -> float | None:
    """Return a duration, sent in ms, in s. Rounded, as SQL Server's ``float`` refuses the tiniest numbers."""
    milliseconds = _milliseconds(value)
    return None if milliseconds is None else round(milliseconds / 1000, 3)


def time_of(value: object) -> datetime | None:
    """Return a time, sent in ms since 1970. Databricks sends 0 for "not yet"."""
    milliseconds = _milliseconds(value)
    if not milliseconds:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
