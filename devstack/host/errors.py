"""What the host raises on purpose."""

from collections.abc import Sequence


class HostError(Exception):
    """The app cannot be run as it stands. Lists every problem at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "the app cannot be run:\n" + "\n".join(f"  - {problem}" for problem in self.problems)
        )
