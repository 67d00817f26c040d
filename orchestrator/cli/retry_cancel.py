"""``retry`` and ``cancel``: rows by their ids, or all that a filter matches, after a look or a question."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import click
from rich.progress import track

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import BATCH, Operations
from orchestrator.adapters.store.reports import Reports
from orchestrator.cli import context
from orchestrator.cli.options import ID, Whole, filter_options, json_option
from orchestrator.cli.output import FAILED, NOTHING, OK, complain, console, print_json
from orchestrator.core.models import ANYTHING, Expected
from orchestrator.core.search import MAX_MATCHING, EntryFilter
from orchestrator.core.states import CANCELLABLE, RETRIED_BY_DEFAULT, RETRYABLE, Status


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something that an operator does to a row."""

    verb: str
    #: the rows that it can be done to
    states: frozenset[Status]
    #: those that a filter means which names no state
    by_default: frozenset[Status]
    #: does it to the rows that are in such a state and as expected, and returns which
    apply: Callable[[Operations, Sequence[int], Expected], Awaitable[list[int]]]
    #: what is said of a row: when it is done, for a dry run, and when it cannot be done
    done: str
    would: str
    refused: str
    #: what is said when a filter finds none
    possible: str


RETRY = Change(
    verb="retry",
    states=RETRYABLE,
    by_default=RETRIED_BY_DEFAULT,
    apply=Operations.retry,
    done="waits again",
    would="would wait again",
    refused="is not there, or neither over nor failed (a waiting row needs no retry)",
    possible="is over or failed",
)

CANCEL = Change(
    verb="cancel",
    states=CANCELLABLE,
    by_default=CANCELLABLE,
    apply=Operations.cancel,
    done="is cancelled at the next pass",
    would="would be cancelled",
    refused="is over already, or not there",
    possible="is not over",
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    change: Change
    #: empty = all that the filter matches
    ids: Sequence[int]
    wanted: EntryFilter
    limit: int
    dry_run: bool
    #: do not ask
    yes: bool
    as_json: bool


@dataclass(kw_only=True)
class Outcome:
    """Which rows were changed, or would be."""

    ids: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    #: the filter matches more rows than were looked at, or may do so
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """Rows to change."""

    outcome: Outcome
    #: of a filter: the states that it found them in
    expected: Expected = ANYTHING


def _options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command what both take."""
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Do not ask; needed with a filter where nobody can answer."),
        click.option("--dry-run", is_flag=True, help="Only print the ids; change nothing."),
        click.option(
            "--limit",
            type=Whole(1, MAX_MATCHING),
            default=MAX_MATCHING,
            show_default=True,
            help="With a filter: so many rows.",
        ),
        filter_options,
        click.argument("ids", type=ID, nargs=-1, metavar="[ID]..."),
    ):
        command = option(command)
    return command


@click.command("retry")
@_options
def retry(**request: Any) -> int:
    """Run rows again that are over, or failed.

    Rows by their ids, or all that match the filter and are DEAD or FAILED, or in a --state that is named.
    """
    return _run(Request(change=RETRY, **request))


@click.command("cancel")
@_options
def cancel(**request: Any) -> int:
    """Cancel rows, and their runs if they have any.

    Rows by their ids, or all that are not over and match the filter.
    """
    return _run(Request(change=CANCEL, **request))


def _run(request: Request) -> int:
    if bool(request.ids) == (request.wanted != EntryFilter()):
        raise click.UsageError("give either ids, or a filter such as --state and --table")
    found = asyncio.run(_find(request))
    outcome = found.outcome
    if outcome.ids and not request.dry_run:
        if not (request.ids or request.yes or _confirmed(request, len(outcome.ids))):
            complain("nothing was changed")
            return FAILED
        outcome = asyncio.run(_apply(request, found))
    _print(request, outcome)
    if not request.ids and not outcome.ids + outcome.refused:
        return NOTHING
    return FAILED if request.ids and outcome.refused else OK


async def _find(request: Request) -> Found:
    """Return the rows to change."""
    async with context.store() as store:
        if request.ids:
            ids = list(dict.fromkeys(request.ids))
            # The change itself tells which it cannot be done to; only a dry run has to look.
            looked = await _looked_at(store, request.change, ids) if request.dry_run else Outcome(ids=ids)
            return Found(outcome=looked)
        states = request.change.states if request.wanted.states else request.change.by_default
        match = await Reports(store.pool).matching(request.wanted, states=states, limit=request.limit)
        return Found(outcome=Outcome(ids=match.ids, more=match.more), expected=Expected(states=match.states))


async def _looked_at(store: Store, change: Change, ids: Sequence[int]) -> Outcome:
    outcome = Outcome()
    for entry_id in ids:
        entry = await store.get(entry_id)
        fits = entry is not None and entry.status in change.states
        (outcome.ids if fits else outcome.refused).append(entry_id)
    return outcome


def _confirmed(request: Request, count: int) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("a filter needs --yes or --dry-run where nobody can be asked")
    return click.confirm(f"{request.change.verb} {count} rows?", err=True)


async def _apply(request: Request, found: Found) -> Outcome:
    """Change the rows in batches, a transaction each."""
    terminal = console(stderr=True)
    ids = found.outcome.ids
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    changed: set[int] = set()
    async with context.store() as store:
        operations = Operations(store.pool)
        for batch in track(
            batches, request.change.verb, console=terminal, transient=True, disable=not terminal.is_terminal
        ):
            changed.update(await request.change.apply(operations, batch, found.expected))
    return Outcome(
        ids=[entry_id for entry_id in ids if entry_id in changed],
        refused=[entry_id for entry_id in ids if entry_id not in changed],
        more=found.outcome.more,
    )


def _print(request: Request, outcome: Outcome) -> None:
    if request.as_json:
        print_json({**asdict(outcome), "count": len(outcome.ids), "dry_run": request.dry_run})
    else:
        for entry_id in outcome.ids:
            click.echo(f"{entry_id} {request.change.would if request.dry_run else request.change.done}")
    refused = request.change.refused if request.ids else "has changed since it was found, and is left alone"
    for entry_id in outcome.refused:
        complain(f"{entry_id} {refused}")
    if not outcome.ids and not request.ids:
        complain(f"no row matches, or none that {request.change.possible}")
    if outcome.more:
        complain(
            f"more than {len(outcome.ids) + len(outcome.refused)} rows may match: repeat it for the others"
        )


COMMANDS = (retry, cancel)
