"""Run the benchmarks and print their tables: ``python -m benchmarks [TOPIC …] [--full]``."""

import argparse
import importlib
import os
import platform
import sys
import time
from datetime import UTC, datetime

from benchmarks.tables import markdown

#: Modules of this package, in the order in which they are printed. Each has
#: ``tables(*, full: bool) -> Iterable[Table | str]``, which yields a table as soon as it is measured; a text
#: is Markdown that another program has made. The first line of its docstring is the heading.
TOPICS: tuple[str, ...] = (
    "submitting",
    "watching",
    "store",
    "cost",
    "scale",
    "cold_start",
    "rate_limits",
    "day",
)


def main(argv: list[str]) -> None:
    """Run the topics that are asked for, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = ", ".join(TOPICS)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"{choices}; all of them by default")
    parser.add_argument("--full", action="store_true", help="the large sizes as well")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.topics) - set(TOPICS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {choices}")
    now = datetime.now(UTC)
    print(f"{now:%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {os.cpu_count()} cores")
    for topic in arguments.topics or TOPICS:
        run(topic, full=arguments.full)


def run(topic: str, *, full: bool) -> None:
    """Print the tables of one topic."""
    module = importlib.import_module(f"benchmarks.{topic}")
    heading, _, _ = (module.__doc__ or topic).partition("\n")
    print(f"\n## {heading}", flush=True)
    began = time.perf_counter()
    for table in module.tables(full=full):
        print(f"\n{table if isinstance(table, str) else markdown(table)}", flush=True)
    print(f"\n({topic}: {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
