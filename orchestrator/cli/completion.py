"""Completion of commands and options in the shell; click knows how."""

import click
from click.shell_completion import get_completion_class

#: The command's name when it is on the PATH (``scripts/orchestrator``): shells complete by a name.
NAME = "orchestrator"

#: The shell's function sets it when it asks for completions.
VARIABLE = "_ORCHESTRATOR_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    With scripts/ on the PATH: eval "$(orchestrator completion bash)"
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(found(context.find_root().command, {}, NAME, VARIABLE).source())


COMMANDS = (completion,)
