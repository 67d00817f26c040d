"""What a Bicep file declares, read with a parser: no Bicep compiler can be had where these tests run."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pycep

from tests.conftest import ROOT

INFRA = ROOT / "infra"

FILES = sorted(INFRA.rglob("*.bicep"))


@cache
def read(path: Path) -> dict[str, Any]:
    """Return the declarations of a file by kind: ``parameters``, ``variables``, ``modules``, …"""
    found: dict[str, Any] = json.loads(json.dumps(pycep.BicepParser().parse(text=path.read_text("utf-8"))))
    return found


def parameters(path: Path) -> set[str]:
    """Return the names of a file's parameters."""
    return set(read(path).get("parameters", {}))


def required(path: Path) -> set[str]:
    """Return the names of its parameters that have no default."""
    declared = re.findall(r"^param (\w+) \w+$", path.read_text("utf-8"), re.MULTILINE)
    return set(declared)


def outputs(path: Path) -> set[str]:
    """Return the names of a file's outputs."""
    return set(read(path).get("outputs", {}))


def modules(path: Path) -> dict[str, tuple[Path, set[str]]]:
    """Return, by symbol, the file of each module that a file uses, and the parameters it is given."""
    found = read(path).get("modules", {})
    return {
        symbol: (path.parent / module["detail"]["path"], set(_body(module)["params"]))
        for symbol, module in found.items()
    }


def _body(declared: dict[str, Any]) -> dict[str, Any]:
    """Return what a declaration says, without the condition that may stand before it."""
    found: dict[str, Any] = declared["config"].get("config", declared["config"])
    return found


def outputs_read(path: Path) -> set[tuple[str, str]]:
    """Return every output of a module that a file reads: the module's symbol and the output's name."""
    return set(re.findall(r"\b(\w+)\.outputs\.(\w+)", path.read_text("utf-8")))
