"""The package as Azure builds it, for Linux and Python 3.12, and started from a read-only folder."""

import json
import os
import shutil
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.test_package import FILES, core_tools

#: Where Azure puts the packages.
PACKAGES = Path(".python_packages", "lib", "site-packages")

#: The system and the Python of the template's app.
TARGET = (
    "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64", "--implementation=cp",
    "--python-version=3.12", "--only-binary=:all:",
)  # fmt: skip

#: Bytes; it has 51 million, 1.4 of them the app: each instance that starts fetches it.
LARGEST = 70_000_000

#: What the app imports when it needs it, and Microsoft's worker itself does not.
LATE_IMPORTS = (
    "import aiohttp, msgspec, pyodbc, rich, click, azure.identity.aio, azure.keyvault.secrets.aio, "
    "azure.storage.queue.aio, azure.monitor.opentelemetry"
)

#: Microsoft's worker library, which in Azure is part of the image.
WORKER = ("azure_functions_runtime", "azurefunctions")


def requirements() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_every_requirement_is_pinned_for_every_python(python: str) -> None:
    assert "-c constraints.txt" in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    values: dict[str, Any] = {**default_environment(), "python_version": python}
    values |= {
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "implementation_name": "cpython",
    }
    pinned = {
        pin.name: next(iter(pin.specifier))
        for pin in pins()
        if pin.marker is None or pin.marker.evaluate(values)
    }
    assert {each.operator for each in pinned.values()} == {"=="}
    wanted = [each for each in requirements() if each.marker is None or each.marker.evaluate(values)]
    assert [each.name for each in wanted if pinned[each.name].version not in each.specifier] == []


def build(folder: Path) -> None:
    """Lay out the app in a folder as it is published, and install its packages as Azure does."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True, timeout=30
    )
    for name in core_tools(listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
    subprocess.run(
        [*pip, *TARGET, "--target", str(folder / PACKAGES), "-r", str(folder / "requirements.txt")],
        check=True,
        timeout=170,
    )


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


def worker(folder: Path) -> Path:
    """Put the worker library, which is plain Python, into a folder of its own, and return that."""
    folder.mkdir()
    for name in WORKER:
        spec = find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        (folder / name).symlink_to(next(iter(spec.submodule_search_locations)))
    return folder


def run(python: str, package: Path, *arguments: str, beside: tuple[Path, ...] = ()) -> str:
    """Run a Python with the package alone, and what lies beside it in Azure."""
    path = os.pathsep.join(str(each) for each in (package, package / PACKAGES, *beside))
    done = subprocess.run(
        [python, "-S", *arguments],  # nothing of what this machine has added to its Python
        cwd=package,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, int]:
    """Return every file and its size in bytes."""
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_package_starts_on_python_312_from_a_read_only_folder(tmp_path: Path) -> None:
    package = tmp_path / "wwwroot"
    package.mkdir()
    build(package)
    before = files(package)
    assert {name.split("/")[0] for name in before} == {*FILES, "orchestrator", ".python_packages"}
    foreign = [name for name in before if name.endswith(".so") and not ("312" in name or "abi3" in name)]
    assert [name for name in foreign if ".libs/" not in name] == [], "built for another Python"
    assert 30_000_000 < sum(before.values()) < LARGEST
    python = python_312()
    if python is None:
        pytest.skip("the package is built and listed; there is no Python 3.12 here to start it with")
    for path in (package, *(each for each in package.rglob("*") if each.is_dir())):
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    beside = (worker(tmp_path / "worker"), ROOT)
    run(python, package, "-c", LATE_IMPORTS)
    report = json.loads(run(python, package, "-m", "tests.worker.drive", str(package), beside=beside))
    assert report["indexed"] == {"ok": True, "error": ""}
    assert {"trigger", "submit", "monitor"} <= report["functions"].keys()
    assert [name for name, each in report["functions"].items() if not each["ok"]] == []
    assert report["answered"]["status"] == "200"
    assert files(package) == before, "the app wrote to its own folder"
