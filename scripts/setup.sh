#!/usr/bin/env bash
# Set up what the local stack and the tests need, inside the checkout: scripts/setup.sh venv|node|odbc|browser
# The Makefile calls it when something is missing or out of date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

is_new_enough() { # PYTHON
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "there is no Python 3.11 or newer on PATH; install one (https://www.python.org/downloads/)" \
        "or name it: make PYTHON=/path/to/python3.12"
}

# What a step prints is only of use when it fails: then all of it is shown.
step() { # WORDS COMMAND...
    local words=$1 said code=0 begun=$SECONDS
    shift
    printf 'setup: %s ... ' "$words"
    said=$("$@" 2>&1) || code=$?
    if [ "$code" -ne 0 ]; then
        printf 'failed\n'
        printf '%s\n' "$said" >&2
        exit "$code"
    fi
    printf 'done in %d s\n' $((SECONDS - begun))
}

setup_venv() {
    local python=.venv/bin/python base
    if ! is_new_enough "$python"; then
        base=$(find_python)
        step ".venv with $("$base" --version)" make_venv "$base"
    fi
    step "Python packages, which take a minute or two" \
        "$python" -m pip install --disable-pip-version-check --no-input --progress-bar=off -r requirements-dev.txt
    if [ -f requirements-worker.txt ]; then
        # Its authors declare Python 3.13 for it; it runs on 3.11 and 3.12 too, and only the tests use it.
        step "Azure's Python worker, for the tests" \
            "$python" -m pip install --disable-pip-version-check --no-input --progress-bar=off \
            --no-deps --ignore-requires-python -r requirements-worker.txt
    fi
}

make_venv() { # PYTHON
    "$1" -m venv --clear .venv ||
        fail "'$1 -m venv' failed; on Debian and Ubuntu it needs: apt-get install python3-venv"
}

setup_node() {
    local version
    command -v npm >/dev/null || fail "there is no npm on PATH; install Node.js 20 or newer (https://nodejs.org/)"
    version=$(node --version 2>/dev/null) || fail "there is no node on PATH; install Node.js 20 or newer"
    version=${version#v}
    [ "${version%%.*}" -ge 20 ] || fail "Node.js $version is too old; install 20 or newer (https://nodejs.org/)"
    step "Node packages" npm ci --no-audit --no-fund
}

# pyodbc's wheel is linked to the system's libodbc.so.2; libsqliteodbc lets a test go through pyodbc to SQLite.
setup_odbc() {
    if [ -x /usr/bin/apt-get ]; then
        dpkg-query --show --showformat='${Status}\n' libodbc2 libsqliteodbc 2>/dev/null |
            grep --count '^install ok installed$' | grep --quiet '^2$' && return
        [ "$(id -u)" -eq 0 ] || fail "pyodbc needs the system's ODBC library; run:" \
            "sudo apt-get install libodbc2 libsqliteodbc"
        install_packages libodbc2 libsqliteodbc
        return
    fi
    .venv/bin/python -c 'import pyodbc' 2>/dev/null ||
        fail "pyodbc needs the system's ODBC library; on macOS: brew install unixodbc," \
            "elsewhere: the package unixODBC"
}

# The tests of the dashboard drive the system's Chromium; without one they are skipped and say so.
setup_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return
    done
    if [ -x /usr/bin/apt-get ] && [ "$(id -u)" -eq 0 ]; then
        install_packages chromium
        return
    fi
    echo "setup: no Chromium, so the dashboard's tests will be skipped; on Debian and Ubuntu:" \
        "sudo apt-get install chromium, on macOS: brew install --cask chromium"
}

install_packages() { # NAME...
    export DEBIAN_FRONTEND=noninteractive
    step "packages of the system: $*" apt_install "$@"
}

apt_install() { # NAME...
    local install=(apt-get install --quiet=2 --yes --no-install-recommends "$@")
    "${install[@]}" || { apt-get update --quiet=2 && "${install[@]}"; }
}

case "${1:-}" in
    venv) setup_venv ;;
    node) setup_node ;;
    odbc) setup_odbc ;;
    browser) setup_browser ;;
    *) fail "usage: scripts/setup.sh venv|node|odbc|browser" ;;
esac
