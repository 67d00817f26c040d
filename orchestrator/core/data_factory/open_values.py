"""Tell what a file says from what only a pipeline's run knows, and mark the latter for a person. Pure.

A text that begins with ``@``, or has ``@{…}`` in it, is an expression; ``@@`` and ``@@{`` are an ``@`` of the
text itself (https://learn.microsoft.com/azure/data-factory/control-flow-expression-language-functions).
"""

import json
import re
from collections.abc import Mapping, Set
from typing import Any

from orchestrator.core.data_factory.arm import ARM_EXPRESSION
from orchestrator.core.parameter_secrets import secrets_in
from orchestrator.core.secret_names import says_secret

#: Begins a value that a person has to decide.
MARK = "DECIDE: "

#: Stands for a secret in a question.
NOT_SHOWN = "a secret, which is not shown; let the task read it from a secret scope"

#: Stands in a sentence for what is not shown: a secret, or something else where a text belongs.
HIDDEN = "…"

#: Type of the object that holds a secret in a resource.
SECURE = "SecureString"

_EMBEDDED = re.compile(r"(?<!@)@\{")

#: An expression in a text.
_PART = re.compile(r"(?<!@)@\{[^{}]*\}")

#: A reference to a parameter of the linked service: the whole text, or a part of it.
_SERVICE_PARAMETER = re.compile(
    r"@\{\s*linkedService\(\)\.(\w+)\s*\}|^@linkedService\(\)\.(\w+)$", re.IGNORECASE
)

_PIPELINE_PARAMETER = re.compile(r"@(?:\{\s*)?pipeline\(\)\.parameters\.(\w+)\s*\}?", re.IGNORECASE)

#: Databricks' own reference to a secret; the value itself is in Databricks.
_SECRET_REFERENCE = re.compile(r"\{\{\s*secrets/[^{}]*\}\}")

#: What secrets look like under whatever name: tokens of Databricks, JSON web tokens, what follows ``Bearer``,
#: keys of storage accounts, client secrets of Microsoft Entra ID.
_TOKEN = re.compile(
    r"(?:dapi|dose)[0-9a-f]{16}|\beyJ[\w-]{4,}\.[\w-]{4,}\.|(?i:\bBearer)\s+[^\s@{<]{8}"
    r"|[A-Za-z0-9+/]{86}==|\b[\w~.-]{3}\dQ~[\w~.-]{30}"
)

_SECRET_TYPES = frozenset({"securestring", "azurekeyvaultsecret"})

#: In an expression: the name of a field, such as ``.token``, or ``item()``, what a ForEach is at.
_FIELD = re.compile(r"(?:\.\s*|\b(?=item\s*\())([A-Za-z_]\w*)", re.IGNORECASE)

#: Stands among the names of secrets where each of the values that a ForEach goes through is one.
ITEM = "item"

#: In an expression: a text in quotes that is a name, such as ``variables('token')`` or ``output['token']``,
#: and the number of an element, such as ``value[0]``.
_NAMED = re.compile(
    r"(?:\b(?:activity|variables|parameters)\s*\(|(?<=[\w)\]?])\[)\s*(?:'([^']*)'|\d+)\s*[)\]]", re.IGNORECASE
)

#: A text or a number. A quote that closes nothing counts as one, too.
_LITERAL = re.compile(r"""['"]|(?<![\w.])\d""")


class Questions:
    """Collects what a person must decide while a proposal is made.

    :param defaults: of the pipeline's parameters, by name; told with the question, never used as the answer,
        and not told if there is anything to ask about them.
    :param secrets: names that stand for secrets in expressions, in lower case.
    """

    def __init__(self, defaults: Mapping[str, Any] | None = None, secrets: Set[str] = frozenset()) -> None:
        self.found: list[str] = []
        self._defaults = {name.lower(): value for name, value in (defaults or {}).items()}
        self._secrets = secrets

    def ask(self, what: str, question: str) -> str:
        """Note a question and return the mark that stands for its answer."""
        self.found.append(f"{what}: {question}")
        return MARK + question

    def settle(self, value: Any, what: str, name: str = "") -> Any:
        """Return a copy of a value with marks for expressions and secrets, each noted as a question.

        :param what: what the value is, for the question.
        :param name: its own name, which may say that it is a secret.
        """
        if _is_secret(name, value):
            return self.ask(what, NOT_SHOWN)
        if isinstance(value, dict):
            return self._object(value, what, name)
        if isinstance(value, list):
            return self._list(value, what)
        if not isinstance(value, str):
            return value
        if is_expression(value):
            return self._expression(value, what)
        return value[1:] if value.startswith("@@") else value.replace("@@{", "@{")

    def asks_about(self, value: Any, name: str) -> bool:
        """Say whether a value has a secret or an expression in it."""
        self.settle(value, name, name)
        return bool(self.found)

    def text(self, value: Any, what: str) -> str | None:
        """Return a value that should be a text; None if the file does not have it."""
        settled = self.settle(value, what)
        if settled is None or settled == "":
            return None
        return (
            str(settled) if isinstance(settled, str | int) else self.ask(what, shown(settled, self._secrets))
        )

    def _object(self, value: Mapping[str, Any], what: str, name: str) -> Any:
        if str(value.get("type")).lower() in _SECRET_TYPES:
            return self.ask(what, NOT_SHOWN)
        inner = value.get("value")
        if value.get("type") == ARM_EXPRESSION:
            return self.ask(what, shown(inner, self._secrets))
        if value.get("type") == "Expression" and "value" in value:
            return self.settle(inner, what, name)
        named = next((value[key] for key in ("name", "key") if isinstance(value.get(key), str)), "value")
        return {
            key: self.settle(item, f"{what}.{key}", named if key == "value" else key)
            for key, item in value.items()
        }

    def _list(self, value: list[Any], what: str) -> list[Any]:
        plain = [_as_text(item) for item in value if not isinstance(item, dict | list)]
        hidden = [secret for secret in secrets_in(plain) if secret]  # an option says what the next element is
        return [
            self.ask(f"{what}[{at}]", NOT_SHOWN)
            if not isinstance(item, dict | list) and any(secret in _as_text(item) for secret in hidden)
            else self.settle(item, f"{what}[{at}]", before if isinstance(item, dict | list) else "")
            for at, (before, item) in enumerate(zip(["", *map(_as_text, value)], value, strict=False))
        ]

    def _expression(self, text: str, what: str) -> str:
        if _is_beside_secret(text, self._secrets):
            return self.ask(what, NOT_SHOWN)
        named = _PIPELINE_PARAMETER.fullmatch(text)
        default = self._defaults.get(named[1].lower()) if named else None
        if named is None or default is None or named[1].lower() in self._secrets:
            return self.ask(what, text)
        if Questions().asks_about(default, named[1]):
            return self.ask(what, text)
        self.found.append(f"{what}: {text} (the pipeline's default: {json.dumps(default)})")
        return MARK + text


def _is_secret(name: str, value: Any) -> bool:
    """Say whether a value is a secret: by its name, or by its form under any name.

    An object or a list is one by its name only; what is in it is looked at by itself.
    """
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, dict | list):
        return says_secret(name)
    text = _SECRET_REFERENCE.sub("", _as_text(value))
    if not text:
        return False
    return bool(says_secret(name) or _TOKEN.search(text) or secrets_in({name: text}))


def _is_beside_secret(text: str, secrets: Set[str]) -> bool:
    """Say whether there is a text or a number in an expression that names a secret; it may be the secret."""
    if not names_secret(text, secrets):
        return False
    has_text_around = _EMBEDDED.search(text) is not None and _PART.sub("", text).strip() != ""
    return has_text_around or _LITERAL.search(_NAMED.sub("", text)) is not None


def names_secret(value: Any, secrets: Set[str]) -> bool:
    """Say whether an expression names a secret: a parameter, a variable, an activity or a field.

    :param secrets: names that stand for secrets, in lower case; others say so themselves.
    """
    return any(name.lower() in secrets or says_secret(name) for name in names_in(value))


def names_in(value: Any) -> list[str]:
    """Return what an expression names, or any in an object: parameters, variables, activities, fields."""
    text = _text_of(value)
    return [*_FIELD.findall(text), *_NAMED.findall(text)]


def lowered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name in lower case; one whose name says secret is replaced by :func:`sealed`."""
    return {name.lower(): sealed(None) if says_secret(name) else value for name, value in values.items()}


def sealed(value: Any) -> Any:
    """Return what stands for a secret: of an object or a list, for each of its elements."""
    if isinstance(value, dict) and "type" not in value:
        return {name: sealed(None) for name in value}
    return [sealed(None) for _ in value] if isinstance(value, list) else {"type": SECURE}


def _as_text(value: Any) -> str:
    """Return a text as it is, and anything else as JSON: a password may be a number."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_expression(text: str) -> bool:
    """Say whether Data Factory computes a text when the pipeline runs."""
    return (text.startswith("@") and not text.startswith("@@")) or _EMBEDDED.search(text) is not None


def is_open(value: Any) -> bool:
    """Say whether a person has to decide a value, or a part of it."""
    if isinstance(value, dict):
        return any(is_open(item) for item in value.values())
    if isinstance(value, list):
        return any(is_open(item) for item in value)
    return isinstance(value, str) and value.startswith(MARK)


def with_service_parameters(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a copy of a linked service's values with its parameters put in, as far as they are known.

    :param parameters: by name in lower case.
    """
    if isinstance(value, dict):
        if value.get("type") == "Expression" and isinstance(value.get("value"), str):
            return with_service_parameters(value["value"], parameters)
        return {key: with_service_parameters(item, parameters) for key, item in value.items()}
    if isinstance(value, list):
        return [with_service_parameters(item, parameters) for item in value]
    if not isinstance(value, str):
        return value
    whole = _SERVICE_PARAMETER.fullmatch(value)
    if whole:
        return parameters.get((whole[1] or whole[2]).lower(), value)
    return _SERVICE_PARAMETER.sub(lambda part: _put_in(part, parameters), value)


def _put_in(part: re.Match[str], parameters: Mapping[str, Any]) -> str:
    value = parameters.get((part[1] or part[2]).lower())
    is_plain = isinstance(value, str | int) and not is_expression(str(value))
    return str(value) if is_plain else part[0]


def shown(value: Any, secrets: Set[str] = frozenset()) -> str:
    """Return a value of a condition as text: an expression as it stands in the file, but no secret.

    :param secrets: names that stand for secrets in expressions, in lower case.
    """
    is_expression_object = isinstance(value, dict) and value.get("type") in ("Expression", ARM_EXPRESSION)
    text = value.get("value") if is_expression_object else value
    if isinstance(text, dict | list) or text is None:
        return HIDDEN
    text = _as_text(text)
    return NOT_SHOWN if _is_secret("", text) or _is_beside_secret(text, secrets) else text


def name_of(value: Any) -> str:
    """Return a name for a sentence: one that is no text or has a secret in it is not shown."""
    return value if isinstance(value, str) and not _is_secret("", value) else HIDDEN


def _text_of(value: Any) -> str:
    """Return the text of an expression, which the portal's editor puts into an object, or of any value."""
    inner = value["value"] if isinstance(value, dict) and isinstance(value.get("value"), str) else value
    return _as_text(inner)
