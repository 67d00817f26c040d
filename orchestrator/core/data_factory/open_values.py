"""Tell what a file says from what only a pipeline's run knows, and mark the latter for a person. Pure.

A text that begins with ``@``, or has ``@{…}`` in it, is an expression; ``@@`` and ``@@{`` are an ``@`` of the
text itself (https://learn.microsoft.com/azure/data-factory/control-flow-expression-language-functions).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.core.data_factory.arm import ARM_EXPRESSION
from orchestrator.core.parameter_secrets import secrets_in
from orchestrator.core.secret_names import says_secret

#: Begins a value that a person has to decide.
MARK = "DECIDE: "

_NOT_SHOWN = "a secret, which is not shown; let the task read it from a secret scope"

_EMBEDDED = re.compile(r"(?<!@)@\{")

#: A reference to a parameter of the linked service: the whole text, or a part of it.
_SERVICE_PARAMETER = re.compile(
    r"@\{\s*linkedService\(\)\.(\w+)\s*\}|^@linkedService\(\)\.(\w+)$", re.IGNORECASE
)

_PIPELINE_PARAMETER = re.compile(r"@(?:\{\s*)?pipeline\(\)\.parameters\.(\w+)\s*\}?", re.IGNORECASE)

#: Databricks' own reference to a secret; the value itself is in Databricks.
_SECRET_REFERENCE = re.compile(r"\{\{\s*secrets/[^{}]*\}\}")

_SECRET_TYPES = frozenset({"SecureString", "AzureKeyVaultSecret"})


class Questions:
    """Collects what a person must decide while a proposal is made.

    :param defaults: of the pipeline's parameters, by name; told with the question, never used as the answer.
    """

    def __init__(self, defaults: Mapping[str, Any] | None = None) -> None:
        self.found: list[str] = []
        self._defaults = {name.lower(): value for name, value in (defaults or {}).items()}

    def ask(self, what: str, question: str) -> str:
        """Note a question and return the mark that stands for its answer."""
        self.found.append(f"{what}: {question}")
        return MARK + question

    def settle(self, value: Any, what: str, name: str = "") -> Any:
        """Return a copy of a value with marks for expressions and secrets, each noted as a question.

        :param what: what the value is, for the question.
        :param name: its own name, which may say that it is a secret.
        """
        if isinstance(value, dict):
            return self._object(value, what, name)
        if isinstance(value, list):
            return self._list(value, what, name)
        if not isinstance(value, str):
            return value
        if (says_secret(name) or secrets_in({name: value})) and not _SECRET_REFERENCE.search(value):
            return self.ask(what, _NOT_SHOWN) if value else value
        if is_expression(value):
            return self._expression(value, what)
        return value[1:] if value.startswith("@@") else value.replace("@@{", "@{")

    def text(self, value: Any, what: str) -> str | None:
        """Return a value that should be a text; None if the file does not have it."""
        settled = self.settle(value, what)
        if settled is None or settled == "":
            return None
        return str(settled) if isinstance(settled, str | int) else self.ask(what, shown(settled))

    def _object(self, value: Mapping[str, Any], what: str, name: str) -> Any:
        if str(value.get("type")) in _SECRET_TYPES:
            return self.ask(what, _NOT_SHOWN)
        inner = value.get("value")
        if value.get("type") == ARM_EXPRESSION:
            return self.ask(what, str(inner))
        if value.get("type") == "Expression" and "value" in value:
            return self.settle(inner, what, name)
        return {key: self.settle(item, f"{what}.{key}", key) for key, item in value.items()}

    def _list(self, value: list[Any], what: str, name: str) -> list[Any]:
        hidden = secrets_in(value)  # an option says what the element after it is
        return [
            self.ask(f"{what}[{at}]", _NOT_SHOWN)
            if isinstance(item, str) and any(secret in item for secret in hidden)
            else self.settle(item, f"{what}[{at}]", name)
            for at, item in enumerate(value)
        ]

    def _expression(self, text: str, what: str) -> str:
        named = _PIPELINE_PARAMETER.fullmatch(text)
        default = self._defaults.get(named[1].lower()) if named else None
        if named is None or default is None or says_secret(named[1]):
            return self.ask(what, text)
        self.found.append(f"{what}: {text} (the pipeline's default: {json.dumps(default)})")
        return MARK + text


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


def shown(value: Any) -> str:
    """Return a value of a condition as text: an expression as it stands in the file."""
    if isinstance(value, dict) and isinstance(value.get("value"), str):
        return str(value["value"])
    return value if isinstance(value, str) else json.dumps(value)
