"""Read a developer's settings: those of the local stack that is up, and ``local.settings.json``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from orchestrator.core.errors import SettingsError

#: The local stack that ``make run`` starts writes its settings here, and locks the file while it is up.
STACK_FILE = Path(".run", "stack.json")

#: Whoever has other values of these works on another database, or with other messages.
_STATE = ("STATE_DB", "SQL_CONNECTION_STRING", "AzureWebJobsStorage")


def environment(folder: Path) -> dict[str, str]:
    """Return the settings that a folder names, overridden by the environment.

    Those are the settings of the local stack that is up, unless the environment names another database, and
    the ``Values`` of ``local.settings.json``. The Functions hosts give the environment the same precedence.

    :raises SettingsError: a file exists and cannot be read.
    """
    stack = running_stack(folder)
    values = {} if own_state(stack) else stack
    return {**_values(folder / "local.settings.json"), **values, **os.environ}


def running_stack(folder: Path) -> dict[str, str]:
    """Return the settings of the local stack of a folder; empty = none is up.

    :raises SettingsError: its file cannot be read.
    """
    path = folder / STACK_FILE
    try:
        with path.open(encoding="utf-8") as file:
            return _parsed(path, file.read()) if _is_locked(file) else {}
    except OSError:
        return {}


def own_state(stack: Mapping[str, str]) -> list[str]:
    """Return which settings of the environment name another database or queue than a stack's."""
    return (
        [name for name in _STATE if os.environ.get(name, "") not in {"", stack.get(name, "")}]
        if stack
        else []
    )


def chooses_stack(stack: Mapping[str, str]) -> bool:
    """Whether settings come from a stack, and not from the environment alone."""
    return any(os.environ.get(name) != value for name, value in stack.items())


def other_stack(folder: Path, environ: Mapping[str, str]) -> str | None:
    """Say that Core Tools, started by hand, would work beside the local stack of a folder, on other data."""
    if not environ.get("FUNCTIONS_CORETOOLS_ENVIRONMENT"):
        return None
    stack = running_stack(folder)
    if all(environ.get(name, "") == stack.get(name, "") for name in _STATE if stack):
        return None
    return (
        f"the local stack of {folder / STACK_FILE} is up, with another database and another queue: stop it, "
        "or give this host its settings, in the file that `make run` names: . .run/…/env"
    )


def _is_locked(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, where there is no local stack
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _values(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except (OSError, ValueError) as error:
        raise SettingsError([f"{path} cannot be read as UTF-8 text ({type(error).__name__})"]) from error
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> dict[str, str]:
    try:
        content = json.loads(text)
        return {str(name): str(value) for name, value in content["Values"].items()}
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SettingsError(
            [f"{path} is not JSON: {error.msg} ({place}); comments are not allowed"]
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError([f"{path} is not JSON with an object Values ({type(error).__name__})"]) from error
