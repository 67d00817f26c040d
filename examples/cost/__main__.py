"""Print the tables of docs/cost.md with prices of your own: ``python -m examples.cost [FILE]``."""

import argparse
import sys
import tomllib
from pathlib import Path

from examples.cost import model, tables

#: The prices and the load of docs/cost.md.
FILE = Path(__file__).with_name("cost.toml")


def main(argv: list[str]) -> int:
    """Print the tables; returns 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m examples.cost", description=__doc__)
    parser.add_argument(
        "file", nargs="?", type=Path, default=FILE, help="a copy of %(default)s with your prices"
    )
    file: Path = parser.parse_args(argv).file
    try:
        book = model.read(tomllib.loads(file.read_text(encoding="utf-8")))
        printed = tables.all_tables(book)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{file}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n\n".join(printed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
