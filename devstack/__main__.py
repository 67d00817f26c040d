"""``python -m devstack PART``: start one part of the local stack, or all of it."""

import importlib
import sys

from devstack.processes import end_with_parent

PARTS = {
    "azurite": ("devstack.azurite", "the Storage emulator (queues, blobs, tables)"),
    "databricks": ("devstack.databricks.server", "the Databricks simulator"),
    "host": ("devstack.host.main", "the Functions host, for the app in a folder"),
    "fakes": ("devstack.fakes.main", "fakes of Key Vault and managed identity"),
    "run": ("devstack.demo.run", "everything, with the demo's entries and live progress"),
}


def main(argv: list[str]) -> int:
    """Hand the rest of the command line to the part that its first word names."""
    if not argv or argv[0] not in PARTS:
        print("usage: python -m devstack PART [options]   (PART --help lists the options)\n", file=sys.stderr)
        for name, (_, purpose) in PARTS.items():
            print(f"  {name:12}{purpose}", file=sys.stderr)
        return 2
    end_with_parent()
    module = importlib.import_module(PARTS[argv[0]][0])
    code: int = module.main(argv[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
