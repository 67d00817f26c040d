"""Child processes with a sign of readiness and a certain end."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

#: A part prints ``ready NAME URL`` on its standard output once it serves.
READY = "ready "

#: Azurite starts in about a second, a cold Python with all packages in two; on a busy machine in many more.
START_TIMEOUT_SECONDS = 60.0

#: A part that has been asked to stop finishes what runs; after this it is killed.
STOP_TIMEOUT_SECONDS = 20.0


class ProcessFailed(Exception):
    """A child ended before it was ready, or was not ready in time. The message holds its last output."""


class Process:
    """A child process whose output goes to a log file. Start it with :func:`start`."""

    def __init__(self, name: str, child: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        #: what followed ``ready NAME`` on the ready line, usually the URL
        self.url = ""
        self.log = log
        self._child = child
        self._ready = threading.Event()
        self._pump = threading.Thread(target=self._copy_output, name=f"{name}-output", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        return self._child.poll()

    def _copy_output(self) -> None:
        output: IO[str] | None = self._child.stdout
        if output is None:  # only when the child was not started by start()
            return
        with self.log.open("a", encoding="utf-8") as log:
            for line in output:
                log.write(line)
                log.flush()
                if line.startswith(f"{READY}{self.name} "):
                    self.url = line.removeprefix(f"{READY}{self.name} ").strip()
                    self._ready.set()
        self._ready.set()  # the end of output also ends the wait

    def wait_until_ready(self, timeout: float) -> None:
        """Return once the ready line came. :raises ProcessFailed: it did not."""
        if not self._ready.wait(timeout) or not self.url:
            raise ProcessFailed(f"{self.name} did not become ready; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """The last lines of the output."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self, timeout: float = STOP_TIMEOUT_SECONDS) -> int:
        """Ask the child to end, kill it when it does not in time, and return its exit code."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self._kill_group()
        return self._reap()

    def kill(self) -> int:
        """End the child and its own children at once (SIGKILL) and return its exit code."""
        self._kill_group()
        return self._reap()

    def _kill_group(self) -> None:
        if self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)  # start() made the child the leader of its group

    def _reap(self) -> int:
        code = self._child.wait(10)
        self._pump.join(10)
        if self._child.stdout is not None:
            self._child.stdout.close()
        return code


def start(
    name: str,
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = START_TIMEOUT_SECONDS,
) -> Process:
    """Start a child, wait for its ready line and return it.

    :param env: added to this process's own environment.
    :raises ProcessFailed: it was not ready within ``timeout`` seconds.
    """
    child = subprocess.Popen(
        list(argv),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        cwd=cwd,
        start_new_session=True,  # Ctrl-C reaches only the parent, which then stops its children in order
    )
    process = Process(name, child, log)
    try:
        process.wait_until_ready(timeout)
    except BaseException:  # also Ctrl-C: nobody else knows of the child yet
        process.kill()
        raise
    return process
