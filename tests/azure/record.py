"""Record which options the Azure CLI's commands take: ``make azure-options`` runs this beside ``azure-cli``.

Renews what ``options.json`` has of ``az``, and adds the commands that are given as arguments, each as one
(``"functionapp create"``). No command runs, and nothing is called.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from azure.cli.core import get_default_cli

OPTIONS = Path(__file__).with_name("options.json")


def main(added: list[str]) -> int:
    """Write the file anew. Return 1 if a command is none of the Azure CLI's."""
    recorded = json.loads(OPTIONS.read_text("utf-8"))
    names = sorted({*recorded["az"]["commands"], *added})
    commands = {name: dict(options(name)) for name in names}
    unknown = [name for name, found in commands.items() if not found]
    if unknown:
        sys.stderr.write(f"not commands of the Azure CLI: {', '.join(unknown)}\n")
        return 1
    recorded["az"] = {"source": f"azure-cli {version('azure-cli')}", "commands": commands}
    OPTIONS.write_text(as_text(recorded), encoding="utf-8")
    return 0


def as_text(recorded: dict[str, Any]) -> str:
    """Return the file's text: a line for each command, so that a change of one is seen."""
    programs = []
    for program, of_program in recorded.items():
        commands = [
            f"{json.dumps(name)}: {json.dumps(each)}" for name, each in of_program["commands"].items()
        ]
        listed = ",\n".join(commands)
        programs.append(
            f'"{program}": {{"source": {json.dumps(of_program["source"])}, "commands": {{\n{listed}}}}}'
        )
    return "{" + ",\n".join(programs) + "}\n"


def options(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the options of a command, their names with blanks between; none if there is no such command."""
    words = name.split()
    cli = get_default_cli()
    invocation = cli.invocation_cls(
        cli_ctx=cli,
        parser_cls=cli.parser_cls,
        commands_loader_cls=cli.commands_loader_cls,
        help_cls=cli.help_cls,
    )
    cli.invocation = invocation
    loader = invocation.commands_loader
    loader.load_command_table(words)
    if name not in loader.command_table:
        return
    invocation.data["command_string"] = loader.command_name = name
    loader.command_table = {name: loader.command_table[name]}
    loader.load_arguments(name)
    invocation.parser.cli_ctx = cli
    invocation.parser.load_command_table(loader)
    parser = invocation.parser
    for word in words:
        parser = next(each for each in parser._actions if word in (each.choices or ())).choices[word]
    for action in parser._actions:
        if action.option_strings:
            yield " ".join(map(str, action.option_strings)), _recorded(action)


def _recorded(action: argparse.Action) -> dict[str, Any]:
    """Return what an option takes if that is not one value, or not any."""
    found: dict[str, Any] = {}
    if action.required:
        found["required"] = True
    if action.nargs is not None:
        found["nargs"] = action.nargs
    if action.choices:
        found["choices"] = [str(each) for each in action.choices]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
