"""``python -m orchestrator``."""

import sys

from orchestrator.core.errors import PackageMissing

if __name__ == "__main__":
    try:
        from orchestrator.cli.main import main

        code = main(sys.argv[1:])
    except ModuleNotFoundError as error:
        sys.exit(str(PackageMissing(error.name)))
    sys.exit(code)
