"""``python -m tests.chaos``: kill parts of a stack under load for minutes and check that nothing is lost."""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import chaos


def main() -> int:
    """Print the figures as one line of JSON and a verdict; return 1 if a rule was violated."""
    options = _options()
    seconds = options.minutes * 60 if options.seconds is None else options.seconds
    seed = secrets.randbits(32) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    _say(f"chaos: {seconds:g} s with seed {seed}; logs, journal and database in {folder}")
    report = asyncio.run(chaos(folder, seconds=seconds, seed=seed))
    _say(json.dumps(report.figures()))
    if report.violations:
        _say("\n".join([*report.violations, f"kept: {folder}"]))
        return 1
    shutil.rmtree(folder)
    _say("nothing lost")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of load and faults; default %(default)s")
    parser.add_argument("--seconds", type=float, help="in place of minutes")
    parser.add_argument(
        "--seed", type=int, help="of the entries and the faults; default: a new one for each run"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
