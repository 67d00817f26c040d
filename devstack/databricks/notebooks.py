"""Runs a notebook's file as a subprocess: its arguments are the run's parameters, its exit is the result."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from devstack.databricks import results
from devstack.databricks.errors import invalid
from devstack.databricks.runs import Output

#: Kept from the end of standard output and of standard error; a workspace keeps 5 MB.
MAX_OUTPUT_BYTES = 256 * 1024

#: A notebook that runs longer ends as TIMEDOUT.
MAX_NOTEBOOK_SECONDS = 3600.0

#: Between asking a notebook to end (SIGTERM) and killing it.
STOP_SECONDS = 5.0

#: Takes the attempt's run id, a key of ``results.ENDS`` and the output.
Report = Callable[[int, str, Output], None]


class NotebookRunner:
    """The notebooks under one folder. :param root: the folder that notebook paths are relative to."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._report: Report | None = None
        self._running: dict[int, asyncio.Task[tuple[str, Output]]] = {}

    def report_to(self, report: Report) -> None:
        """Name who is told that an attempt is over."""
        self._report = report

    def accepts(self, path: str) -> bool:
        """Whether there is a file for a notebook path, with or without ``.py``."""
        return self._find(path) is not None

    def check(self, path: str) -> None:
        """Check a new job's notebook path. :raises ApiError: there is no file for it."""
        if not self.accepts(path):
            name = path.strip("/").removesuffix(".py")
            raise invalid(f"There is no notebook {path!r}: it must be the file {name}.py in {self._root}.")

    def start(self, attempt_id: int, path: str, arguments: Sequence[str]) -> None:
        """Begin to run a notebook. Needs a running event loop."""
        file = self._find(path) or self._root / path
        task = asyncio.create_task(run_file(file, arguments), name=f"notebook {attempt_id}")
        self._running[attempt_id] = task
        task.add_done_callback(partial(self._over, attempt_id))

    def stop(self, attempt_id: int) -> None:
        """Terminate a notebook's process; its attempt then ends as cancelled."""
        if attempt_id in self._running:
            self._running[attempt_id].cancel()

    async def close(self) -> None:
        """Terminate all notebooks and wait until their processes are gone."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _find(self, path: str) -> Path | None:
        if not path:
            return None
        try:
            named = (self._root / path.lstrip("/")).resolve()
            files = (named, named.with_name(f"{named.name}.py").resolve())
            return next((file for file in files if file.is_file() and file.is_relative_to(self._root)), None)
        except (OSError, ValueError):  # no file can have this name: too long, a null character
            return None

    def _over(self, attempt_id: int, task: asyncio.Task[tuple[str, Output]]) -> None:
        del self._running[attempt_id]
        if task.cancelled():
            result, output = results.USER_CANCELED, Output()
        elif error := task.exception():
            result, output = results.INTERNAL_ERROR, Output(error=f"{type(error).__name__}: {error}")
        else:
            result, output = task.result()
        if self._report:
            self._report(attempt_id, result, output)


async def run_file(
    file: Path, arguments: Sequence[str], *, timeout_seconds: float = MAX_NOTEBOOK_SECONDS
) -> tuple[str, Output]:
    """Run a Python file to its end; return its result and output. Cancelling this terminates the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(file),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=file.parent,  # and in this process's group: whoever kills the group leaves no notebook behind
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            (logs, cut), (trace, _), code = await asyncio.gather(
                _read_tail(process.stdout), _read_tail(process.stderr), process.wait()
            )
    except TimeoutError:
        return results.TIMEDOUT, Output(error=f"The notebook ran longer than {timeout_seconds:g} s.")
    finally:
        await _end(process)
    if code == 0:
        return results.SUCCESS, Output(logs=logs, logs_truncated=cut)
    lines = trace.strip().splitlines() or [f"The notebook ended with exit code {code}."]
    return results.FAILED, Output(error=lines[-1], error_trace=trace, logs=logs, logs_truncated=cut)


async def _read_tail(stream: asyncio.StreamReader | None) -> tuple[str, bool]:
    """Read to the end; return the last bytes as text, and whether any were left out."""
    if stream is None:
        return "", False
    tail, cut = b"", False
    while chunk := await stream.read(64 * 1024):
        tail += chunk
        cut = cut or len(tail) > MAX_OUTPUT_BYTES
        tail = tail[-MAX_OUTPUT_BYTES:]
    return tail.decode(errors="replace"), cut


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure that a process is gone. What it started itself ends with this process's group."""
    for end in (process.terminate, process.kill):
        if process.returncode is None:
            with suppress(TimeoutError, ProcessLookupError):
                end()
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
