"""``make run`` as a process, and what it prints."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.devstack.proctable import descendants, is_alive

ROOT = Path(__file__).parents[2]

#: What of a checkout a stack needs, besides the folder with the notebooks.
_LINKED = ("devstack", "orchestrator", "node_modules", "function_app.py", "host.json")

#: Appended to the example's entries: the large tables as a whole, in place of their slices.
FEW = """
ENTRIES = (
    *(entry for entry in ENTRIES if "/" not in entry.table_name or entry.table_name == AWAITED),
    slice_of("flights"),
    slice_of("weather"),
)
"""


def lay_out(folder: Path) -> Path:
    """Make a checkout of which the notebooks may be changed."""
    folder.mkdir()
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "examples", folder / "examples")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"PATH={Path(sys.executable).parent}:$PATH\n", encoding="utf-8")
    return folder


def start_run(runs: Path, *argv: str, checkout: Path = ROOT) -> subprocess.Popen[str]:
    """Start it; its stack's folders are made below ``runs``."""
    environment = {name: value for name, value in os.environ.items() if name != "HOST"}
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "run", "--host", "local", "--runs", str(runs), *argv],
        cwd=checkout,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def addresses(lines: Iterable[str]) -> dict[str, list[str]]:
    """The addresses that a run prints when it is up, by what is there."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if match := re.match(r"  (Dashboard|Functions host|Databricks(?:, \w+)?) +(http.*)", line):
            found[match[1]] = match[2].split()
    return found


@dataclass(frozen=True, kw_only=True)
class MadeRun:
    """A run that is up, its rows at their end."""

    #: the folder that it was started in
    checkout: Path
    process: subprocess.Popen[str]
    #: all lines that it printed until it was up
    printed: Sequence[str]
    #: by what is there, as it printed them
    addresses: Mapping[str, Sequence[str]]
    #: what a shell has after ``. …/env``
    settings: Mapping[str, str]

    @property
    def api(self) -> str:
        """The address below which the API's routes are."""
        [host] = self.addresses["Functions host"]
        return f"{host}/api"


@contextmanager
def made_run(checkout: Path, *argv: str) -> Iterator[MadeRun]:
    """``make run``, ended as Ctrl-C ends it; no process of it is left then.

    :param checkout: as :func:`lay_out` makes it.
    """
    runs = checkout / ".run"
    process = start_run(runs, *argv, checkout=checkout)
    try:
        assert process.stdout is not None
        printed = _until_up(process.stdout)
        assert process.poll() is None, (printed, process.communicate())
        [folder] = (path for path in runs.iterdir() if path.is_dir())
        settings = _exports(folder / "env")
        yield MadeRun(
            checkout=checkout,
            process=process,
            printed=printed,
            addresses=addresses(printed),
            settings=settings,
        )
        started = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert not {pid for pid in started if is_alive(pid)}
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def _until_up(lines: Iterable[str]) -> list[str]:
    """Read what a run prints to the last line before it only stays up."""
    printed = []
    for line in lines:
        printed.append(line)
        if "-m orchestrator pass trigger" in line:
            break
    return printed


def _exports(file: Path) -> dict[str, str]:
    words = shlex.split(file.read_text(encoding="utf-8"))
    return dict(word.split("=", 1) for word in words if word != "export")
