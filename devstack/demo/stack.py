"""The parts of the local stack, started in order and stopped in reverse."""

import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, TextIO

from devstack import processes
from devstack.processes import Process, ProcessFailed
from devstack.stack_file import is_locked

#: The command line does one short thing at a time; a cold start on a busy machine takes some seconds.
COMMAND_TIMEOUT_SECONDS = 60.0


class Stack:
    """The running parts and the settings that they share. Leaving its context stops every part."""

    def __init__(self, app: Path, folder: Path) -> None:
        #: the folder of ``function_app.py`` and ``host.json``
        self.app = app
        #: logs and state of this run
        self.folder = folder
        #: environment of every part and command started from now on
        self.settings: dict[str, str] = {}
        self._parts: list[Process] = []
        self._announced: tuple[Path, TextIO] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._withdraw()
        # The host ends first: what it has begun still finds the storage and the workspace.
        while self._parts:
            self._parts.pop().stop()

    @property
    def state_db(self) -> Path:
        """The SQLite state store of this run."""
        return (self.folder / "state.db").absolute()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each part by the name of its log."""
        return {part.log.stem: part.pid for part in self._parts}

    def start(
        self, name: str, *argv: str, log: str = "", settings: Mapping[str, str] = MappingProxyType({})
    ) -> Process:
        """Start ``python -m argv`` and wait for its ready line.

        :param log: name of its log, if its own name does not tell it from others.
        :param settings: of this part alone.
        :raises ProcessFailed: it did not become ready.
        """
        part = processes.start(
            name,
            [sys.executable, "-m", *argv],
            log=self.folder / f"{log or name}.log",
            env={**self.settings, **settings},
            cwd=self.app,
        )
        self._parts.append(part)
        return part

    def check(self) -> None:
        """:raises ProcessFailed: a part has ended by itself."""
        for part in self._parts:
            if part.returncode is not None:
                raise ProcessFailed(
                    f"{part.name} ended with code {part.returncode}; the end of {part.log}:\n{part.tail()}"
                )

    def tails(self, lines: int = 15) -> str:
        """The end of every part's log."""
        return "\n".join(f"--- the end of {part.log}\n{part.tail(lines)}" for part in self._parts)

    def orchestrator(self, *argv: str) -> str:
        """Run a command of the app's command line and return what it printed.

        :raises ProcessFailed: it failed or took too long.
        """
        command = f"python -m orchestrator {shlex.join(argv)}"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "orchestrator", *argv],
                cwd=self.app,
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
                check=False,
                start_new_session=True,  # Ctrl-C reaches only this process, which then stops in order
            )
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{command}: no end after {COMMAND_TIMEOUT_SECONDS:g} seconds") from None
        if done.returncode:
            raise ProcessFailed(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def announce(self, file: Path) -> bool:
        """Put the settings where the command line looks for them, locked until the end.

        False: another stack that is up has the place.
        """
        if file.exists() and is_locked(file):
            return False
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        opened = os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT, mode=0o600), "r+", encoding="utf-8")
        fcntl.flock(opened, fcntl.LOCK_EX)
        json.dump({"Values": self.settings}, opened)
        opened.flush()
        draft.rename(file)  # whoever reads it finds it whole and locked
        self._announced = (file, opened)
        return True

    def _withdraw(self) -> None:
        if self._announced is not None:
            file, opened = self._announced
            if file.exists() and os.path.samestat(
                file.stat(), os.fstat(opened.fileno())
            ):  # not one that came at the same time
                file.unlink()
            opened.close()

    @property
    def is_announced(self) -> bool:
        """Whether the app's command line finds this stack by itself."""
        return self._announced is not None

    @property
    def settings_file(self) -> Path:
        """The settings for ``. FILE`` in a shell, once they are written."""
        return self.folder / "env"

    def write_settings(self) -> None:
        """Write the settings into their file, readable by its owner only."""
        file = self.settings_file
        file.touch(mode=0o600)
        lines: Sequence[str] = [
            f"export {name}={shlex.quote(value)}" for name, value in self.settings.items()
        ]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
