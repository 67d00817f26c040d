"""What carries out attempts for real."""

from collections.abc import Sequence
from typing import Protocol


class Executor(Protocol):
    """Carries out attempts for real. It reports their end to ``Workspace.attempt_over``."""

    def accepts(self, path: str) -> bool:
        """Whether ``path`` names a file that can be run."""
        ...

    def check(self, path: str) -> None:
        """Check what a new job's task is to run. :raises ApiError: there is no such file."""
        ...

    def start(self, attempt_id: int, path: str, arguments: Sequence[str]) -> None:
        """Begin an attempt."""
        ...

    def stop(self, attempt_id: int) -> None:
        """Make a running attempt end soon."""
        ...
