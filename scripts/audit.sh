#!/usr/bin/env bash
# Look for known vulnerabilities in what requirements.txt installs, with all that it brings along, as constraints.txt pins it.
# Exit code 0: none is known, or PyPI's service cannot be asked from here, which is said and, with AUDIT=required,
# is a failure. 1: there is one, or a package could not be looked up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python

# A package and version that are there for good: any answer but 200 means that nothing can be learnt here.
readonly PROBE=https://pypi.org/pypi/pip/24.0/json

if ! answer=$("$python" - "$PROBE" 2>&1 <<'END'
import sys

import requests

try:
    status = requests.head(sys.argv[1], timeout=10, allow_redirects=True).status_code
except requests.RequestException as error:
    sys.exit(type(error).__name__)
sys.exit(0 if status == 200 else f"HTTP {status}")
END
); then
    [ "${AUDIT:-}" != required ] || exit_code=1
    echo "audit: not audited: the service cannot be reached ($PROBE: ${answer##*$'\n'})"
    exit "${exit_code:-0}"
fi

"$python" -m pip_audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off
