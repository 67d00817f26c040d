"""``retry``, ``cancel`` and ``resolve``: entries by ids, or all that a filter matches, once confirmed."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
from rich.progress import Progress

from orchestrator.cli import context
from orchestrator.cli.options import ID, NEGATIVE_IDS, Whole, filter_of_changes, json_option
from orchestrator.cli.output import FAILED, NOTHING, OK, complain, console, print_json
from orchestrator.core import actions
from orchestrator.core.actions import CANCEL, RESTART, RETRY, RUN_IS_LEFT, Action, Changes, Resolution
from orchestrator.core.policy import RetryMode
from orchestrator.core.search import MAX_MATCHING, EntryFilter


@dataclass(frozen=True, kw_only=True)
class _Wording:
    """What is said about an action."""

    #: of an entry that was changed, or would be
    done: str
    would: str
    #: of the entries that a filter cannot mean: "all that match …"
    impossible: str


#: By the action's name.
_WORDING = {
    "retry": _Wording(done="waits again", would="would wait again", impossible="wait or are in flight"),
    "restart": _Wording(
        done="is restarted: its run is cancelled first, if one is active",
        would="would be restarted",
        impossible="wait or are about to begin",
    ),
    "cancel": _Wording(
        done="is cancelled at the next pass", would="would be cancelled", impossible="are final already"
    ),
    "resolve": _Wording(
        done="is resolved", would="would be resolved", impossible="are in the state asked for already"
    ),
}


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the command line asks for."""

    action: Action
    #: empty = all that the filter matches
    ids: Sequence[int]
    wanted: EntryFilter
    limit: int
    dry_run: bool
    #: do not ask for confirmation
    yes: bool
    as_json: bool


def _options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that all of them take."""
    for option in (
        json_option,
        click.option(
            "--yes",
            is_flag=True,
            help="Do not ask for confirmation; required with a filter where nobody can answer.",
        ),
        click.option("--dry-run", is_flag=True, help="Only print the ids; change nothing."),
        click.option(
            "--limit",
            type=Whole(1, MAX_MATCHING),
            default=MAX_MATCHING,
            show_default=True,
            help="With a filter: at most this many entries.",
        ),
        filter_of_changes,
        click.argument("ids", type=ID, nargs=-1, metavar="[ID]..."),
    ):
        command = option(command)
    return command


@click.command("retry", context_settings=NEGATIVE_IDS)
@click.option(
    "--mode",
    type=click.Choice(list(RetryMode), case_sensitive=False),
    help="run: a new run; repair: the failed tasks of the last run again. Kept for later retries; "
    "default: what the entry or the setting RETRY_MODE says.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Also RUNNING entries: each run is cancelled, its end awaited, and then the entry waits again.",
)
@_options
def _retry(mode: RetryMode | None, restart: bool, **request: Any) -> int:
    """Run entries again that are final or failed.

    Give ids, or a filter: it selects DEAD and FAILED entries (with --restart RUNNING ones, too) unless
    --state names other states.
    """
    return _run(_Request(action=replace(RESTART if restart else RETRY, mode=mode), **request))


@click.command("cancel", context_settings=NEGATIVE_IDS)
@_options
def _cancel(**request: Any) -> int:
    """Cancel entries, and their runs if they have any.

    Give ids, or a filter: it selects entries that are not final.
    """
    return _run(_Request(action=CANCEL, **request))


@click.command("resolve", context_settings=NEGATIVE_IDS)
@click.option("--done", is_flag=True, help="What the run was for is done: DONE.")
@click.option("--failed", is_flag=True, help="It failed and is not retried: DEAD.")
@click.option("--release", is_flag=True, help="Neither, the app lets go: CANCELED.")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the log.")
@_options
def _resolve(done: bool, failed: bool, release: bool, reason: str, **request: Any) -> int:
    """Settle entries by hand that the app cannot bring to their end.

    A run that is still active is not cancelled, and is no longer followed: cancel it in Databricks if it must
    not go on. Give one of --done, --failed and --release. Give ids, or a filter: it selects entries that are
    neither DONE nor CANCELED unless --state names other states.
    """
    wanted = {Resolution.DONE: done, Resolution.FAILED: failed, Resolution.RELEASE: release}
    given = [resolution for resolution, is_given in wanted.items() if is_given]
    if len(given) != 1:
        raise click.UsageError("give one of --done, --failed and --release")
    try:
        action = actions.resolve(given[0], reason)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--reason") from None
    return _run(_Request(action=action, **request))


def _run(request: _Request) -> int:
    if bool(request.ids) == (request.wanted != EntryFilter()):
        raise click.UsageError("give either ids, or a filter such as --state and --table")
    changes = asyncio.run(_by_ids(request) if request.ids else _find(request))
    if changes.ids and not request.ids and not request.dry_run:
        if not (request.yes or _confirmed(request, len(changes.ids))):
            complain("nothing was changed")
            return FAILED
        changes = asyncio.run(_change_found(request, changes))
    _print(request, changes)
    if request.ids:
        return FAILED if changes.refused else OK
    return OK if changes.ids or changes.refused else NOTHING


async def _by_ids(request: _Request) -> Changes:
    async with context.tools() as tools:
        return await tools.operator.change_each(request.action, request.ids, dry_run=request.dry_run)


async def _find(request: _Request) -> Changes:
    async with context.tools() as tools:
        return await tools.operator.find(request.action, request.wanted, limit=request.limit)


def _confirmed(request: _Request, count: int) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("a filter needs --yes or --dry-run where nobody can be asked")
    return click.confirm(f"{request.action.name} {count} {_noun(count)}?", err=True)


def _noun(count: int) -> str:
    return "entry" if count == 1 else "entries"


async def _change_found(request: _Request, found: Changes) -> Changes:
    """Change the entries that were found; show the progress on a terminal."""
    terminal = console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(request.action.name, total=len(found.ids))
        async with context.tools() as tools:
            return await tools.operator.change_found(
                request.action, found, progress=lambda done: progress.advance(task, done)
            )


def _print(request: _Request, changes: Changes) -> None:
    wording = _WORDING[request.action.name]
    if request.as_json:
        print_json(_document(request, changes))
    else:
        for entry_id in changes.ids:
            click.echo(f"{entry_id} {wording.would if request.dry_run else wording.done}")
    if changes.ids and request.action.name == "resolve":
        complain(RUN_IS_LEFT)
    for refusal in changes.refused:
        complain(refusal.reason)
    if not changes.ids and not request.ids:
        complain(f"no entry matches, or all that match {wording.impossible}")
    if changes.more:
        count = len(changes.ids) + len(changes.refused)
        complain(f"more than {count} {_noun(count)} may match: repeat the command for the others")


def _document(request: _Request, changes: Changes) -> dict[str, Any]:
    return {
        "ids": [str(entry_id) for entry_id in changes.ids],
        "refused": [str(refusal.entry_id) for refusal in changes.refused],
        "more": changes.more,
        "count": len(changes.ids),
        "dry_run": request.dry_run,
    }


COMMANDS = (_retry, _cancel, _resolve)
