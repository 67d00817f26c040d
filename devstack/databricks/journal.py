"""The journal: a file from which a workspace is made again after its process was killed.

The first line says of which workspace it is, every other one is a command that was accepted, as JSON. A
workspace follows from these alone: ids and jitter are drawn from a seed, and time matters only at a command.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a workspace's history follows from, besides its commands."""

    #: when the workspace came to be, in epoch seconds
    at: float
    #: of ids and jitter
    seed: int
    #: see ``Options``, as are the rest
    pending_seconds: float
    run_seconds: float
    max_active_runs: int
    jobs: tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A change of the workspace that was asked for and accepted."""

    #: epoch seconds
    at: float
    #: a name that ``Commands`` knows
    name: str
    body: dict[str, Any]
    #: what it returned: the ids that it drew
    result: Any = None


class Journal:
    """An open journal. Use :func:`open_journal`.

    :param commands: what the file held when it was opened, oldest first.
    """

    def __init__(self, file: IO[bytes], origin: Origin, commands: Sequence[Command]) -> None:
        self.origin = origin
        self.commands = commands
        self._file = file

    def append(self, command: Command) -> None:
        """Write a command down; it survives this process, though not the machine."""
        self._file.write(_line(asdict(command)))
        self._file.flush()


@contextmanager
def open_journal(path: Path, origin: Origin, *, any_seed: bool = False) -> Iterator[Journal]:
    """Open a journal for the time of the block; a file that is missing or empty becomes a new one.

    :param origin: of a new journal. An older one must have the same, but for its time.
    :param any_seed: an older one may have another seed.
    :raises JournalError: the file cannot be opened or read, is another workspace's, or is in use.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be opened: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"the journal {path} is in use by another simulator") from None
        yield _read(file, path, origin, any_seed=any_seed)


def _read(file: IO[bytes], path: Path, origin: Origin, *, any_seed: bool) -> Journal:
    lines = _whole_lines(file)
    if not lines:
        file.write(_line(asdict(origin)))
        file.flush()
        return Journal(file, origin, [])
    number = 1
    try:
        stored = _origin(json.loads(lines[0]))
        commands = []
        for number, line in enumerate(lines[1:], 2):  # noqa: B007  the error names it
            commands.append(Command(**json.loads(line)))
    except (ValueError, TypeError, KeyError) as error:
        raise JournalError(
            f"line {number} of the journal {path} cannot be read: {error}. Remove the file to begin anew"
        ) from error
    _check_same(stored, origin, path, any_seed=any_seed)
    return Journal(file, stored, commands)


def _whole_lines(file: IO[bytes]) -> list[bytes]:
    """Read all lines and cut off a torn last one: its writer was killed before it answered the command."""
    file.seek(0)
    content = file.read()
    end = content.rfind(b"\n") + 1
    file.truncate(end)
    file.seek(0, os.SEEK_END)
    return content[:end].splitlines()


def _origin(values: dict[str, Any]) -> Origin:
    return Origin(**{**values, "jobs": tuple((job_id, path) for job_id, path in values["jobs"])})


def _check_same(stored: Origin, given: Origin, path: Path, *, any_seed: bool) -> None:
    given = replace(given, at=stored.at, seed=stored.seed if any_seed else given.seed)
    for field in fields(Origin):
        before, now = getattr(stored, field.name), getattr(given, field.name)
        if before != now:
            raise JournalError(
                f"the journal {path} is of a workspace with {field.name} {before}, not {now}: start the "
                "simulator with the same flags, or name another file"
            )


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"
