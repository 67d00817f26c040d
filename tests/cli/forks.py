"""Run commands in copies of a process that has loaded the command line: ``python -m tests.cli.forks``.

Loading it, and taking the interpreter apart at the end, is most of what a command takes. Each command still
has a process of its own: its own environment, working folder, standard streams and exit code.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from orchestrator.cli.main import main
from tests.conftest import ROOT

#: What a command may take.
SECONDS = 40

#: What many commands load when they need it.
PRELOAD = (
    "aiohttp",
    "azure.storage.queue.aio",
    "orchestrator.adapters.databricks.client",
    "orchestrator.adapters.store.sqlite",
)


class Forks:
    """The process that the commands' processes are copies of."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forks"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        atexit.register(self._process.communicate)  # it ends when there are no more orders

    def run(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as :func:`subprocess.run` does."""
        order = json.dumps(
            {
                "arguments": arguments,
                "folder": str(folder),
                "environment": dict(environment),
                "stdin": stdin,
            }
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(order + "\n")
            self._process.stdin.flush()
            return subprocess.CompletedProcess(arguments, **json.loads(self._process.stdout.readline()))


@functools.cache
def forks() -> Forks:
    """Return the one of this test process; it is started at the first call."""
    return Forks()


def _serve() -> None:
    """Answer each order until there are no more."""
    for name in PRELOAD:
        importlib.import_module(name)
    gc.freeze()  # a copy need not look through what it has inherited
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _answer(order: Mapping[str, Any]) -> dict[str, Any]:
    """Run a command in a copy of this process and return its exit code and what it printed."""
    with _file() as given, _file() as printed, _file() as complained:
        given.write(order["stdin"])
        given.seek(0)
        copy = os.fork()
        if not copy:
            _become(order, [given.fileno(), printed.fileno(), complained.fileno()])
            _run(order["arguments"])
        _, status = os.waitpid(copy, 0)
        return {
            "returncode": os.waitstatus_to_exitcode(status),
            "stdout": _whole(printed),
            "stderr": _whole(complained),
        }


def _become(order: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Take on the streams, the folder and the environment of a command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    read_ahead = sys.stdin  # it may hold further orders
    sys.stdin = open(0, encoding=read_ahead.encoding, errors=read_ahead.errors, closefd=False)  # noqa: SIM115
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    signal.alarm(SECONDS)


def _run(arguments: list[str]) -> NoReturn:
    """Run a command and end its process at once."""
    code = 1
    try:
        code = main(arguments)
    except BaseException:  # noqa: BLE001 - it ends the process, as in the interpreter
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _file() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8")


def _whole(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


if __name__ == "__main__":
    _serve()
