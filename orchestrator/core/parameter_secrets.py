"""Find the secrets in a run's parameters, by the names of the parameters and of the fields in them. Pure.

Other values are no secrets: they stand in the same database, and an error that hides them helps nobody.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from orchestrator.core.secret_names import says_secret, says_sign_in

#: Longest JSON that is read and longest other text, in characters. Parameters have at most 10,000 bytes, as
#: JSON up to ten times as many characters.
_MAX_JSON = 200_000
_MAX_TEXT = 20_000

#: How deep JSON is followed, JSON inside its texts included.
_MAX_DEPTH = 10

#: In a text these names say nothing, since SQL and prose have them too: ``WHERE key = 'EMEA'``. They count as
#: options (``--key``) and in the query of a URL (``?key=``).
_AMBIGUOUS = frozenset({"key", "pass", "pat", "signature"})

_NAME = r"[A-Za-z_][\w.-]*"

#: What follows a name in a text: quoted, escaped or not, or up to a blank or another separator.
_VALUE = re.compile(r"""\\*"([^"]*)"|\\*'([^']*)'|(?:(?:Bearer|Basic)\s+)?([^\s"'&;\\{\[][^\s"'&;\\]*)""")

#: A user or a scheme before the secret itself, under a name that says secret.
_PAIR = re.compile(r"^(?:(?:Bearer|Basic)\s+|[^\s:/=;]{1,100}:)([^\s/=;]{4,}={0,2})$", re.IGNORECASE)

#: An element of a list that is an option or a property with its value, or an option whose value comes next.
_ASSIGNMENT = re.compile(rf"(?:-D|--?)?({_NAME})=(.*)", re.DOTALL)
_OPTION = re.compile(rf"--?({_NAME})")

#: A field of a connection string. ODBC puts braces around unusual values.
_CONNECTION_FIELD = re.compile(
    r"""(?:^|;)\s*(\w+(?:[ .:]\w+)*)\s*=\s*(\{(?:[^}]|\}\}){0,200}\}|"[^"]*"|'[^']*'|[^;]*)"""
)

#: ``name=``, ``name:`` or ``name =>`` in a text, and what marks it as an option or as part of a URL's query.
_FIELD = re.compile(
    rf"""(?P<mark>[?&]|(?<![\w-])--?|(?<![\w.-]))(?P<name>{_NAME})\\*["']?\s*(?:=>|[=:])\s*"""
)

#: An argument before another one, as Spark's ``option("name", "value")`` has them, and an element of XML.
_ARGUMENT = re.compile(rf"""(?P<mark>)\(\s*\\*["'](?P<name>{_NAME})\\*["']\s*,\s*(?=\\*["'])""")
_ELEMENT = re.compile(rf"(?P<mark>)<(?:\w{{1,40}}:)?(?P<name>{_NAME})(?:\s[^<>]{{0,200}})?>")

#: What an HTTP header carries, under whatever name: ``Bearer`` or ``Basic`` with what no word looks like.
_SCHEME = re.compile(
    r"(?<![\w-])(?:Bearer\s+(?=[\w.~+/=-]{4})(?=[\w.~+/=-]{0,200}[\d~+/=_]|[a-z]{16})"
    r"|Basic\s+(?=[\w+/]{0,200}[\d=]))([\w.~+/=-]+)",
    re.IGNORECASE,
)

#: ``--name`` before a value in a text that is a whole command line.
_OPTION_IN_TEXT = re.compile(rf"(?<!\S)(?P<mark>--?)(?P<name>{_NAME})\s+(?!-)")

#: The user and the password in a URL, and in Oracle's form of one.
_USER = re.compile(r"""://([^\s/?#"']*)@""")
_ORACLE = re.compile(r"""jdbc:oracle:\w+:[^\s/@"']{1,100}/([^\s/@"']{1,200})@""", re.IGNORECASE)

#: The same without ``://``, which an e-mail address or a version can look like, too.
_SIGN_IN = re.compile(
    r"""(?<![\w.@:/-])(?:(?P<name>[A-Za-z][\w-]{0,40})[=:]\s*|--(?P<option>[\w-]{1,40})[=\s]\s*)?"""
    r"""(?P<user>[A-Za-z][\w.+-]{0,100}):(?P<password>[^\s:/"'<>]{4,200}?)@"""
    r"""(?P<host>[A-Za-z][\w-]{0,60}(?:\.[\w-]{1,60}){0,10})(?P<more>:\d{1,5}\b|/)?(?![\w@:])"""
)
#: Not a user but what is said of the address that follows.
_OF_ADDRESS = frozenset(
    ("author", "bcc", "by", "cc", "contact", "email", "from", "mail", "mailto", "owner", "sender", "to")
)
#: A password that does not look like the name of a person, a table or a version.
_LIKE_PASSWORD = re.compile(r"(?![A-Za-z][A-Za-z._-]*\d{0,4}$)(?=.*[A-Za-z])(?=.*[\d!#$%^&*+=?~]).{6,}")


def secrets_in(value: Any) -> list[str]:
    """Return the secrets in parameters, as they are written and without URL encoding. Never raises.

    :param value: an object or a list as in JSON, or a text of JSON or of anything else.
    """
    found = (form for secret in _secrets(value, "", 0) for form in (secret, unquote(secret)))
    return list(dict.fromkeys(found))


def _secrets(value: Any, name: str, depth: int) -> Iterator[str]:
    """Find the secrets in a value.

    :param name: of the value, empty = it has none.
    """
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _named(key, item, depth)
    elif isinstance(value, list):
        yield from _in_list(value, name, depth)
    elif isinstance(value, str):
        content = _json(value)
        if content is not None:
            yield from _secrets(content, name, depth + 1)
        else:
            yield from _in_text(value[:_MAX_TEXT], name)


def _named(name: str, value: Any, depth: int) -> Iterator[str]:
    """Find secrets in a value with a name. An object under a secret name has names of its own."""
    if says_secret(name):
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text
                yield from _PAIR.findall(text)
    yield from _secrets(value, name, depth + 1)


def _in_list(items: list[Any], name: str, depth: int) -> Iterator[str]:
    """Find secrets in a list of arguments: ``--name=value``, ``name=value``, or a value after ``--name``."""
    option = ""
    for item in items:
        text = item if isinstance(item, str) else ""
        assigned = _ASSIGNMENT.fullmatch(text)
        if assigned:
            yield from _named(assigned[1], assigned[2], depth)
        elif option and not text.startswith("--"):
            yield from _named(option, item, depth)
        yield from _secrets(item, name, depth + 1)
        opening = _OPTION.fullmatch(text)
        option = opening[1] if opening else ""


def _in_text(text: str, name: str) -> Iterator[str]:
    """Find the secret parts of a text: a connection string, a URL, a command line, SQL, YAML."""
    yield from (match[1] for match in _ORACLE.finditer(text))
    yield from (match["password"] for match in _SIGN_IN.finditer(text) if _is_sign_in(match, name))
    for match in _USER.finditer(text):
        yield match[1].partition(":")[2]
    for match in _SCHEME.finditer(text):
        yield match[1]
    if ";" in text:
        for match in _CONNECTION_FIELD.finditer(text):
            if _is_secret_field(match[1]):
                yield _unquoted(match[2].strip())
    yield from _values_after(_FIELD, text)
    for pattern in (_ARGUMENT, _ELEMENT, _OPTION_IN_TEXT):
        yield from _values_after(pattern, text)


def _is_sign_in(match: re.Match[str], name: str) -> bool:
    """Say whether ``user:password@host`` is one: by its name, or by what the password looks like."""
    if match["user"].lower() in _OF_ADDRESS:
        return False
    if says_sign_in(match["name"] or match["option"] or name):
        return True
    has_address = "." in match["host"] or match["more"] is not None
    return has_address and _LIKE_PASSWORD.fullmatch(match["password"]) is not None


def _is_secret_field(name: str, *, marked: bool = False) -> bool:
    """Say whether a name in a text says secret.

    :param marked: it is an option or part of a URL's query.
    """
    return says_secret(name) and (marked or name.lower() not in _AMBIGUOUS)


def _values_after(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Find the values that follow secret names; one without quotes may be one of several in brackets, too."""
    end = 0
    while name := pattern.search(text, end):
        end = name.end()
        secret = _is_secret_field(name["name"], marked=name["mark"] != "")
        value = _VALUE.match(text, end) if secret else None
        if value:
            end = value.end()
            double_quoted, single_quoted, bare = value.groups("")
            if bare:
                yield bare
                yield re.split(r"[,)\]}<]", bare, maxsplit=1)[0]
            else:
                yield (double_quoted or single_quoted).rstrip("\\")


def _unquoted(value: str) -> str:
    if value.startswith("{") and value.endswith("}"):
        return value[1:-1].replace("}}", "}")
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _json(text: str) -> Any:
    """Return a text's JSON object or list, numbers as they are written, or None."""
    if text.lstrip()[:1] not in {"{", "["} or len(text) > _MAX_JSON:
        return None
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
