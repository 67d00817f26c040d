"""The commands put together, and what becomes of their errors: one line on stderr and an exit code."""

import logging
import sys
from io import TextIOWrapper
from typing import Any

import click

from orchestrator.cli import add, admin, completion, entries, retry_cancel, status
from orchestrator.cli.codes import FAILED, INTERRUPTED
from orchestrator.cli.output import complain
from orchestrator.core.errors import OrchestratorError

PROGRAM = "python -m orchestrator"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Turn rows of track_processing into Databricks job runs: look at them, retry, cancel and add them.

    Settings come from the environment, and below it from ./local.settings.json.

    Exit codes: 0 done, 1 something failed or was refused, 2 wrong use, 3 nothing matched the filter,
    4 the app does not do its work (status).
    """


for _module in (status, entries, retry_cancel, add, admin, completion):
    for _command in _module.COMMANDS:
        commands.add_command(_command)


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for what the terminal's encoding lacks
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")  # problems are printed
    try:
        code: Any = commands.main(
            argv, prog_name=PROGRAM, complete_var=completion.VARIABLE, standalone_mode=False
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
