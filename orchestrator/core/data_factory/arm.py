"""Resolve the expressions of an ARM template as far as its parameters and variables say. Pure.

Read are text, ``parameters``, ``variables``, ``concat`` and ``format``, which is what exports of Data Factory
and compiled Bicep use for names and values. Anything else stays an expression, marked as one.
https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Type of the object that stands for an expression that cannot be resolved here.
ARM_EXPRESSION = "ArmExpression"

#: A text in quotes (a quote inside is doubled), a name, or a mark.
_TOKEN = re.compile(r"\s*(?:'(?P<text>(?:[^']|'')*)'|(?P<name>[A-Za-z_]\w*)|(?P<mark>[(),]))\s*")

#: Most expressions inside one another: a variable may name a variable, and itself.
_MAX_DEPTH = 20

#: Most characters of an expression and of a text that one makes. Resource Manager takes 24,576 in one.
_MAX_TEXT = 65_536

#: For all expressions of an export together: each value that is looked at is a step, and each
#: :data:`_STEP_TEXT` characters of a text are another. An export has a few for each of its resources.
_MAX_STEPS = 100_000
_STEP_TEXT = 64

_FORMAT_ITEM = re.compile(r"\{(\d{1,3})\}")

#: A parameter's or a variable's name, or else a text or a number. A quote that closes nothing begins a text.
_LITERAL = re.compile(
    r"(?P<name>\b(?:parameters|variables)\s*\(\s*'[^']*'\s*\))|'(?:[^']|'')*'?|(?<![\w.])\d[\d.]*",
    re.IGNORECASE,
)


#: An expression, split: the kind of each part and its text.
_Tokens = deque[tuple[str, str]]


class _UnknownError(Exception):
    """The expression asks for more than the template says, or is of a kind that is not read here."""


class Work:
    """Counts the steps of evaluation, since a short template can ask for endlessly many."""

    def __init__(self) -> None:
        self._steps = 0

    def add(self, value: Any) -> None:
        """Count a value. :raises _UnknownError: there have been too many."""
        self._steps += 1 + (len(value) // _STEP_TEXT if isinstance(value, str) else 0)
        if self._steps > _MAX_STEPS:
            raise _UnknownError("too many steps")


@dataclass(frozen=True, kw_only=True)
class Template:
    """What the expressions of one template may name, with the names in lower case."""

    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]
    #: shared by all templates of an export
    work: Work

    def resolve(self, value: Any, depth: int = 0) -> Any:
        """Return a value with its expressions resolved.

        One that cannot be, or asks for too much, is ``{"type": "ArmExpression", "value": "[…]"}`` afterwards,
        with its own texts and numbers left out: beside a secret parameter they may be the secret.

        :param depth: how many expressions this value is inside of; 0 = it stands in the file itself.
        """
        if depth:
            self.work.add(value)
        if isinstance(value, dict):
            is_open = value.get("type") == ARM_EXPRESSION
            return value if is_open else {key: self.resolve(item, depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, depth) for item in value]
        if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
            return value
        return self._text(value, depth)

    def _text(self, value: str, depth: int) -> Any:
        if value.startswith("[["):
            return value[1:]  # an escape: the text itself begins with a bracket
        try:
            return self._evaluate(value, depth, self._missing)
        except _UnknownError:
            return {"type": ARM_EXPRESSION, "value": _LITERAL.sub(lambda part: part["name"] or "...", value)}

    def name(self, text: str) -> str:
        """Return the last part of a resource's name. A parameter without a value is ``<its name>``."""
        if text.startswith("[") and text.endswith("]"):
            try:
                made = self._evaluate(text, 0, lambda name: f"<{name}>")
            except _UnknownError:
                return text
            text = made if isinstance(made, str) else text
        return text.rpartition("/")[2]

    def _missing(self, name: str) -> Any:
        raise _UnknownError(name)

    def _evaluate(self, text: str, depth: int, missing: Callable[[str], Any]) -> Any:
        if depth > _MAX_DEPTH or len(text) > _MAX_TEXT:
            raise _UnknownError(text)
        tokens = _tokens(text[1:-1])
        value = self._term(tokens, depth, missing)
        if tokens:
            raise _UnknownError(text)
        return value

    def _term(self, tokens: _Tokens, depth: int, missing: Callable[[str], Any]) -> Any:
        """Take a text or a call off the front of the tokens and return its value."""
        kind, text = _take(tokens)
        self.work.add(text)
        if kind == "text":
            return text.replace("''", "'")
        if kind != "name" or depth > _MAX_DEPTH or _take(tokens) != ("mark", "("):
            raise _UnknownError(text)
        arguments = []
        while tokens and tokens[0] != ("mark", ")"):
            arguments.append(self._term(tokens, depth + 1, missing))
            if tokens and tokens[0] == ("mark", ","):
                tokens.popleft()
        _take(tokens)
        return self._call(text.lower(), arguments, depth, missing)

    def _call(self, function: str, arguments: list[Any], depth: int, missing: Callable[[str], Any]) -> Any:
        if function in {"parameters", "variables"} and len(arguments) == 1:
            known = self.parameters if function == "parameters" else self.variables
            name = str(arguments[0])
            value = self.resolve(known.get(name.lower()), depth + 1)
            is_open = isinstance(value, dict) and value.get("type") == ARM_EXPRESSION
            return missing(name) if value is None or is_open else value
        if not arguments or not all(isinstance(each, str | int) for each in arguments):
            raise _UnknownError(function)
        texts = [str(each) for each in arguments]
        if function == "concat":
            return self._joined(texts)
        if function == "format":
            parts = enumerate(_FORMAT_ITEM.split(texts[0]))  # every second part is the number of an item
            return self._joined(_item(texts, int(part) + 1) if at % 2 else part for at, part in parts)
        raise _UnknownError(function)

    def _joined(self, parts: Iterable[str]) -> str:
        """Join texts to one. :raises _UnknownError: it is too long."""
        kept: list[str] = []
        length = 0
        for part in parts:
            kept.append(part)
            length += len(part)
            if length > _MAX_TEXT:
                raise _UnknownError("too long")
        made = "".join(kept)
        self.work.add(made)
        return made


def _tokens(text: str) -> _Tokens:
    """Split an expression. :raises _UnknownError: it has something that is not read here."""
    tokens: _Tokens = deque()
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _UnknownError(text)
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


def _take(tokens: _Tokens) -> tuple[str, str]:
    if not tokens:
        raise _UnknownError("the expression ends too early")
    return tokens.popleft()


def _item(texts: list[str], number: int) -> str:
    if number >= len(texts):
        raise _UnknownError(f"format has no item {number - 1}")
    return texts[number]
