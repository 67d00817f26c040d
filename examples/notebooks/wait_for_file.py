"""Wait until a file has been delivered: runs as long as its sender takes, up to a limit."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

#: One look a second is soon enough for a file that takes minutes.
POLL_SECONDS = 1.0


def wait_for(
    file: Path,
    timeout: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Return whether the file was there within ``timeout`` seconds."""
    deadline = monotonic() + timeout
    while not file.is_file():
        left = deadline - monotonic()
        if left <= 0:
            return False
        sleep(min(POLL_SECONDS, left))
    return True


def main(argv: Sequence[str]) -> int:
    """Read the parameters, wait, and print what came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True, help="name of the file to wait for")
    named = os.environ.get("LANDING_FOLDER")
    parser.add_argument(
        "--source",
        type=Path,
        default=named,
        required=not named,
        help="the landing folder; else the variable LANDING_FOLDER",
    )
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds, 600 when not given")
    given = parser.parse_args(argv)
    file: Path = given.source / given.file
    if not wait_for(file, given.timeout):
        print(f"TimeoutError: {file} was not delivered in {given.timeout:g} seconds", file=sys.stderr)
        return 1
    print(f"{file}: {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
