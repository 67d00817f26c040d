"""The command line: all commands, shell completion, and errors as one line on stderr and an exit code."""

import logging
import sys
from io import TextIOWrapper
from typing import Any

import click
from click.shell_completion import get_completion_class

from orchestrator.cli import add, admin, changes, check, entries, import_adf, status
from orchestrator.cli.output import FAILED, INTERRUPTED, complain
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.version import VERSION

_PROGRAM = "python -m orchestrator"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="orchestrator")
def commands() -> None:
    """Turn entries of track_processing into Databricks job runs: list, retry, cancel, resolve and add them.

    Settings come from the environment or else from ./local.settings.json.

    Exit codes: 0 done, 1 something failed or was refused, 2 wrong use, 3 nothing matched the filter,
    4 the app does not do its work (status).
    """


#: Name of the command on the PATH (``scripts/orchestrator``): shells complete by name.
_NAME = "orchestrator"

#: The shell sets this variable when it asks for completions.
_COMPLETE_VARIABLE = "_ORCHESTRATOR_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def _completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    With scripts/ on the PATH: eval "$(orchestrator completion bash)"
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(found(context.find_root().command, {}, _NAME, _COMPLETE_VARIABLE).source())


for _module in (status, entries, changes, add, admin, check, import_adf):
    for _command in _module.COMMANDS:
        commands.add_command(_command)
commands.add_command(_completion)


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for characters that the terminal's encoding lacks
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")  # problems are printed
    try:
        code: Any = commands.main(
            argv, prog_name=_PROGRAM, complete_var=_COMPLETE_VARIABLE, standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return INTERRUPTED
    except OrchestratorError as error:
        complain(str(error))
        return FAILED
    return int(code or 0)
