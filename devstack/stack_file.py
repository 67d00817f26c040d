"""The file in which a local stack that is up leaves its settings for whoever works in the same folder."""

import fcntl
import json
from pathlib import Path

#: In the folder of the app; locked as long as the stack is up.
STACK_FILE = Path(".run", "stack.json")

#: Whoever has other values of these works on another database, or with other messages.
STATE = ("STATE_DB", "SQL_CONNECTION_STRING", "AzureWebJobsStorage")


def is_locked(file: Path) -> bool:
    """Whether the stack that wrote a file is up."""
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def running_stack(app: Path) -> dict[str, str]:
    """Return the settings of the stack that is up in an app's folder; empty = none is."""
    file = app / STACK_FILE
    if not file.exists() or not is_locked(file):
        return {}
    settings: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["Values"]
    return settings
