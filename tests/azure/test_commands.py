"""The documents' commands that need Azure are such as its programs know."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.azure import stand_in, stand_ins
from tests.conftest import ROOT
from tests.pages import Block, blocks, outside_blocks
from tests.test_documentation import DOCUMENTS

#: Of other programs in commands that need Azure, only that they are called.
_OTHER_PROGRAMS = ("curl", "env", "jq", "orchestrator", "python", "rm", "sqlcmd")

NEEDING_AZURE = [
    pytest.param(block, id=f"{document.name} {block.heading}: {block.commands[0]}"[:70])
    for document in DOCUMENTS
    for block in blocks(document.read_text(encoding="utf-8"))
    if block.needs_azure
]


@pytest.mark.parametrize("block", NEEDING_AZURE)
def test_azures_programs_know_the_commands(block: Block, tmp_path: Path) -> None:
    """The options are those that tests/azure/options.json has from these programs themselves."""
    programs = stand_ins(tmp_path / "bin")
    for other in _OTHER_PROGRAMS:
        (programs / other).write_text("#!/bin/sh\nexec /bin/cat > /dev/null\n", encoding="utf-8")
        (programs / other).chmod(0o755)
    script = block.text if block.language else "\n".join(command for command, _ in block.session)
    done = subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": str(programs), "STAND_IN_FOLDER": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


INLINE = sorted({
    command
    for document in DOCUMENTS
    for command in re.findall(
        r"`((?:az|azd|databricks|func) [^`…]+)`", outside_blocks(document.read_text(encoding="utf-8"))
    )
})  # fmt: skip


@pytest.mark.parametrize("command", INLINE)
def test_azures_programs_know_the_commands_in_the_text(command: str) -> None:
    """Some are only a command's name."""
    program, *words = shlex.split(command)
    commands = stand_in.recorded(program)
    assert " ".join(words) in commands or stand_in.main(program, words) == 0


def test_the_document_names_the_version_of_the_azure_cli() -> None:
    source = json.loads(stand_in.OPTIONS.read_text("utf-8"))["az"]["source"]
    assert f"the Azure CLI {source.removeprefix('azure-cli ')}." in (ROOT / "docs/deploy.md").read_text(
        "utf-8"
    )


@pytest.mark.parametrize(
    "command",
    [
        "az group create --name x",
        "az group create --name x --location y --size large",
        "az group make --name x",
        "az functionapp create -g g -n n -s s --runtime cobol --deployment-storage-auth-type Password",
        "func azure functionapp publish",
        "func azure functionapp publish x --build-in-azure",
        "databricks tokens create --life 5",
        "azd down --hard",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, stand_in.__file__, program, *arguments], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 2
