"""A command on a terminal, as a person at one sees it."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.support import CommandLine

#: For everything that a command may be waited for.
SECONDS = 30.0


class Terminal:
    """What a running command prints, and the keys."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self._process = process
        self._screen = screen
        self.text = ""

    def read_until(self, wanted: str) -> None:
        """Read on until this text has come again. :raises AssertionError: it does not come."""
        end = time.monotonic() + SECONDS
        start = len(self.text)
        while wanted not in self.text[start:]:
            assert self._read(end - time.monotonic()), f"no {wanted!r} in {self.text!r}"

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._screen, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        """Read to the end and return the command's exit code."""
        end = time.monotonic() + SECONDS
        while self._read(end - time.monotonic()):
            pass
        return self._process.wait(SECONDS)

    def _read(self, seconds: float) -> bool:
        """Read what comes next. False: nothing came in time, or the command is over."""
        ready, _, _ = select.select([self._screen], [], [], max(seconds, 0))
        try:
            read = os.read(self._screen, 65_536) if ready else b""
        except OSError:  # Linux says so at the end
            read = b""
        self.text += read.decode(errors="replace")
        return bool(read)


@contextmanager
def terminal(
    cli: CommandLine, *arguments: str, module: str = "orchestrator", **environment: str
) -> Iterator[Terminal]:
    """Run a command on a terminal of 120 columns.

    :param module: what is run instead of the command line as it is.
    """
    screen, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cli.folder,
        env=cli.whole_environment(**({"TERM": "xterm", "COLUMNS": "120"} | environment)),
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
    )
    os.close(other_end)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait(SECONDS)
        os.close(screen)
