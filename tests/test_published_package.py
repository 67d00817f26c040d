"""The package as Azure builds it, for Linux and Python 3.12, and started from a read-only folder."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests import published
from tests.conftest import ROOT
from tests.test_package import FILES

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


def run(python: str, package: Path, *arguments: str, others: tuple[Path, ...] = ()) -> str:
    """Run a Python with the package alone, and what lies beside it in Azure."""
    done = subprocess.run(
        [python, "-S", *arguments],  # nothing of what this machine has added to its Python
        cwd=package,
        env=published.environment(package, *others),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_package_starts_on_python_312_from_a_read_only_folder(package: Path, tmp_path: Path) -> None:
    before = published.files(package)
    assert {name.split("/")[0] for name in before} == {*FILES, "orchestrator", ".python_packages"}
    foreign = [name for name in before if name.endswith(".so") and not ("312" in name or "abi3" in name)]
    assert [name for name in foreign if ".libs/" not in name] == [], "built for another Python"
    assert 30_000_000 < sum(before.values()) < LARGEST
    python = published.python_312()
    if python is None:
        pytest.skip("the package is built and listed; there is no Python 3.12 here to start it with")
    others = (published.beside(tmp_path / "worker", WORKER), ROOT)
    run(python, package, "-c", LATE_IMPORTS)
    report = json.loads(run(python, package, "-m", "tests.worker.drive", str(package), others=others))
    assert report["indexed"] == {"ok": True, "error": ""}
    assert {"trigger", "submit", "monitor"} <= report["functions"].keys()
    assert [name for name, each in report["functions"].items() if not each["ok"]] == []
    assert report["answered"]["status"] == "200"
    assert published.files(package) == before, "the app wrote to its own folder"


@pytest.mark.slow
def test_without_pypi_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        pytest.skip.Exception, match=r"^PyPI cannot be reached, and the package is built from it: "
    ):
        published.build(tmp_path)
