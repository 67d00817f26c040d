"""Child processes with a sign of readiness and a certain end, also when their parent is killed."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

#: A part prints ``ready NAME URL`` on its standard output once it serves; several URLs with blanks between.
READY = "ready "

#: Azurite starts in about a second, a cold Python with all packages in two; on a busy machine in many more.
START_TIMEOUT_SECONDS = 60.0

#: A part that has been asked to stop finishes what runs; after this it is killed.
STOP_TIMEOUT_SECONDS = 20.0

#: What the system needs to end a process after SIGKILL, and to hand over the rest of its output.
REAP_TIMEOUT_SECONDS = 5.0

#: Set for a child whose standard input is a pipe that its parent holds and never writes to.
PARENT_PIPE = "DEVSTACK_PARENT_PIPE"


class ProcessFailed(Exception):
    """A child ended before it was ready, or was not ready in time. The message holds its last output."""


class Process:
    """A child process whose output goes to a log file. Start it with :func:`start`."""

    def __init__(self, name: str, child: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        #: what followed ``ready NAME`` on the ready line
        self.urls: Sequence[str] = ()
        self.log = log
        self._child = child
        self._ready = threading.Event()
        self._pump = threading.Thread(target=self._copy_output, name=f"{name}-output", daemon=True)
        self._pump.start()

    @property
    def url(self) -> str:
        """The first URL of the ready line, the only one of most parts; empty before it."""
        return self.urls[0] if self.urls else ""

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
        # Closed here and nowhere else: closing waits for a read under way, which can last as long as any
        # process that has inherited the other end.
        with output, self.log.open("a", encoding="utf-8") as log:
            for line in output:
                log.write(line)
                log.flush()
                if line.startswith(f"{READY}{self.name} "):
                    self.urls = line.removeprefix(f"{READY}{self.name} ").split()
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
        """Ask the child to end, kill what is left of its group then or in time, and return its exit code."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout)
        return self.kill()

    def kill(self) -> int:
        """End the child and its own children at once (SIGKILL) and return its exit code."""
        # start() made the child the leader of a group, which may outlive it. macOS forbids a signal to a
        # group of which only the ended leader is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        code = self._child.wait(REAP_TIMEOUT_SECONDS)
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._pump.join(REAP_TIMEOUT_SECONDS)
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
        stdin=subprocess.PIPE,  # its end tells the child that this process is gone: end_with_parent()
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", PARENT_PIPE: "1", **(env or {})},
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


def end_with_parent() -> None:
    """Let this process get SIGTERM once the process that started it with :func:`start` is gone.

    For a process that was started in another way, this does nothing.
    """
    if os.environ.pop(PARENT_PIPE, None):  # the standard input of its own children is another one
        threading.Thread(target=_outlive_parent_shortly, name="parent-pipe", daemon=True).start()


def _outlive_parent_shortly() -> None:
    while os.read(0, 1024):
        pass  # nobody writes
    main_thread = threading.main_thread().ident
    if main_thread is not None:  # it runs: only a thread that was not started yet has none
        signal.pthread_kill(main_thread, signal.SIGTERM)
    # What stop() would do. A process that ends in time ends this thread with it.
    time.sleep(STOP_TIMEOUT_SECONDS)
    os.killpg(0, signal.SIGKILL)
