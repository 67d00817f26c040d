"""Read ``local.settings.json``, the file that holds the settings on a developer's machine."""

import json
import os
from pathlib import Path

from orchestrator.core.errors import SettingsError


def environment(folder: Path) -> dict[str, str]:
    """Return the ``Values`` of a folder's ``local.settings.json``, overridden by the environment.

    The Functions hosts give the environment the same precedence.

    :raises SettingsError: the file exists and cannot be read.
    """
    path = folder / "local.settings.json"
    if not path.exists():
        return dict(os.environ)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {str(name): str(value) for name, value in content["Values"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError([f"{path} is not JSON with an object Values ({type(error).__name__})"]) from error
    return {**values, **os.environ}
