"""Read a developer's settings: those of the local stack that is up, and ``local.settings.json``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.errors import SettingsError

#: The local stack that ``make run`` starts writes its settings here, and locks the file while it is up.
STACK_FILE = Path(".run", "stack.json")

#: Whoever has other values of these works on another database, or with other messages.
_STATE = ("STATE_DB", "AzureWebJobsStorage")


def environment(folder: Path) -> dict[str, str]:
    """Return the settings that a folder names, overridden by the environment.

    Those are the settings of the local stack that is up, or else the ``Values`` of ``local.settings.json``.
    The Functions hosts give the environment the same precedence.

    :raises SettingsError: a file exists and cannot be read.
    """
    return {**_values(folder / "local.settings.json"), **running_stack(folder), **os.environ}


def running_stack(folder: Path) -> dict[str, str]:
    """Return the settings of the local stack of a folder; empty = none is up.

    :raises SettingsError: its file cannot be read.
    """
    path = folder / STACK_FILE
    return _values(path) if path.exists() and _is_locked(path) else {}


def chooses_stack(folder: Path) -> bool:
    """Whether the settings come from the local stack of a folder, and not from the environment alone.

    :raises SettingsError: its file cannot be read.
    """
    return any(os.environ.get(name) != value for name, value in running_stack(folder).items())


def other_stack(folder: Path, environ: Mapping[str, str]) -> str | None:
    """Say that Core Tools, started by hand, would work beside the local stack of a folder, on other data."""
    if not environ.get("FUNCTIONS_CORETOOLS_ENVIRONMENT"):
        return None
    stack = running_stack(folder)
    if all(environ.get(name) == stack[name] for name in _STATE if name in stack):
        return None
    return (
        f"the local stack of {folder / STACK_FILE} is up, with another database and another queue: stop it, "
        "or give this host its settings, in the file that `make run` names: . .run/…/env"
    )


def _is_locked(path: Path) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, where there is no local stack
        return False
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _values(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in content["Values"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError([f"{path} is not JSON with an object Values ({type(error).__name__})"]) from error
