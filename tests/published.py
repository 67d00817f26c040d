"""The package as Azure builds it, for Linux and Python 3.12, with what starts it."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.test_package import ROOT, core_tools

#: Where Azure puts the packages.
PACKAGES = Path(".python_packages", "lib", "site-packages")

#: The system and the Python of the template's app.
TARGET = (
    "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64", "--implementation=cp",
    "--python-version=3.12", "--only-binary=:all:",
)  # fmt: skip

#: Two tries of 15 seconds each: whoever has no PyPI shall learn it soon.
PIP = (
    sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
    "--retries=1", "--timeout=15",
)  # fmt: skip

#: How pip says that it has not found a server, or not the right one.
_UNREACHABLE = re.compile(r"[^\n]*(?:connection broken by|Could not fetch URL|Max retries exceeded)[^\n]*")


def built(folder: Path) -> Path:
    """Build the package in a folder that nobody may write to afterwards, and return that."""
    unfinished = folder.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of another process, which had no PyPI
    unfinished.mkdir()
    build(unfinished)
    unfinished.rename(folder)
    for path in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return folder


def build(folder: Path) -> None:
    """Lay out the app in a folder as it is published, and install its packages as Azure does."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True, timeout=30
    )
    for name in core_tools(listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    install(folder)


def install(folder: Path) -> None:
    """Install the packages into a folder as Azure does. Skips the test if PyPI cannot be reached."""
    done = subprocess.run(
        [*PIP, *TARGET, "--target", str(folder / PACKAGES), "-r", str(folder / "requirements.txt")],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    if done.returncode and (unreachable := _UNREACHABLE.search(done.stderr)):
        pytest.skip(f"PyPI cannot be reached, and the package is built from it: {unreachable[0]}")
    assert done.returncode == 0, done.stderr


def python_312() -> str | None:
    """Return a Python 3.12 of this machine, if there is one."""
    installed = sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python"))
    for candidate in (sys.executable, "python3.12", *map(str, installed)):
        if (found := shutil.which(candidate)) is None:
            continue
        said = subprocess.run(
            [found, "--version"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
        if said.startswith("Python 3.12."):
            return found
    return None


def beside(folder: Path, names: Sequence[str]) -> Path:
    """Put packages of this environment, in plain Python, into a folder of their own, and return that."""
    folder.mkdir()
    for name in names:
        spec = find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        (folder / name).symlink_to(next(iter(spec.submodule_search_locations)))
    return folder


def environment(package: Path, *others: Path) -> dict[str, str]:
    """Return what a Python needs to find the package alone, and what lies beside it in Azure."""
    path = os.pathsep.join(str(each) for each in (package, package / PACKAGES, *others))
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def files(folder: Path) -> dict[str, int]:
    """Return every file and its size in bytes."""
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }
