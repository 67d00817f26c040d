"""What Azure's programs accept, and stand-ins for them that accept the same."""

import shlex
import sys
from pathlib import Path

from tests.azure import stand_in

PROGRAMS = ("az", "azd", "databricks", "func")


def stand_ins(folder: Path) -> Path:
    """Put the programs into a folder, each of which does what its stand-in does, and return the folder."""
    folder.mkdir()
    for program in PROGRAMS:
        command = shlex.join([sys.executable, "-S", "-E", stand_in.__file__, program])
        (folder / program).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (folder / program).chmod(0o755)
    return folder
