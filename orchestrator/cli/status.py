"""``status``: entries by state, slots in use and the timer functions, once or repeatedly."""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from datetime import datetime

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.cli import context, documents
from orchestrator.cli.options import Whole, json_option
from orchestrator.cli.output import OK, UNHEALTHY, cell, complain, console, drawn, print_json, visible
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.models import AskedBy, LastPass
from orchestrator.core.reports import PassStatus, StatusReport, WorkspaceStatus
from orchestrator.core.states import OPEN, Status

#: Seconds between two refreshes of ``--watch``; each asks Databricks.
_WATCH_SECONDS = 5


@click.command("status")
@click.option("--watch", is_flag=True, help="Refresh repeatedly until Ctrl-C.")
@click.option(
    "--interval",
    type=Whole(1, 3600),
    default=_WATCH_SECONDS,
    show_default=True,
    help="With --watch: seconds between two refreshes.",
)
@click.option("--offline", is_flag=True, help="Do not ask Databricks for its active runs.")
@json_option
def _status(watch: bool, interval: int, offline: bool, as_json: bool) -> int:
    """Show entries by state, slots and timer functions.

    Also what ended in the last hour and day. If the app does not do its work, the exit code is 4 and stderr
    says why.
    """
    if watch and as_json:
        raise click.UsageError("--watch cannot be combined with --json, which prints one document")
    if not watch:
        return asyncio.run(_once(offline=offline, as_json=as_json))
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        asyncio.run(_watch(interval, offline=offline))
    return OK


async def _once(*, offline: bool, as_json: bool) -> int:
    async with context.tools(offline=offline) as tools:
        found, health = await tools.overview.status(), await tools.overview.health()
    terminal = console()
    if as_json:
        print_json(documents.status(found))
    elif terminal.is_terminal:
        terminal.print(_drawn(found))
    else:
        click.echo("\n".join(_lines(found)))
    for reason in health.reasons:
        complain(f"unhealthy: {reason}")
    if health.unknown:
        complain(health.unknown)
    return UNHEALTHY if health.reasons else OK


async def _watch(interval: int, *, offline: bool) -> None:
    """Replace each view by the next one; without a terminal, print it below."""
    terminal = console()
    async with context.tools(offline=offline, patience=0) as tools:  # the next refresh is the retry
        with Live(console=terminal, auto_refresh=False) as live:
            for _ in itertools.count():  # until Ctrl-C
                try:
                    found = await tools.overview.status()
                    view, lines = _drawn(found), _lines(found)
                except OrchestratorError as error:  # the next refresh may succeed
                    view, lines = Text(str(error), style="red"), [str(error)]
                if terminal.is_terminal:
                    live.update(view, refresh=True)
                else:
                    click.echo("\n".join(lines))
                await asyncio.sleep(interval)


def _lines(found: StatusReport) -> list[str]:
    workspaces = [_workspace_line(view) for view in found.workspaces]
    passes = [_pass_line(status, found.now) for status in found.passes]
    return [*(workspaces or ["no entry is open or has ended in the last day"]), *passes]


def _workspace_line(view: WorkspaceStatus) -> str:
    report = view.report
    parts = [_counts(report.open) or "nothing open"]
    if ended := _counts(report.finished_hour):
        parts.append(f"in the last hour {ended}")
    if ended := _counts(report.finished_day):
        parts.append(f"in the last day {ended}")
    if report.oldest_waiting_seconds is not None:
        parts.append(f"the oldest waits {_duration(report.oldest_waiting_seconds)}")
    parts.append(_slots(view))
    return f"{visible(report.name)}: {'; '.join(parts)}"


def _counts(counts: Mapping[Status, int]) -> str:
    return ", ".join(f"{counts[status]} {status}" for status in Status if counts.get(status))


def _slots(view: WorkspaceStatus) -> str:
    cap = "?" if view.cap is None else view.cap
    taken = f"{view.report.in_flight} of {cap} slots"
    if view.active.error is None:
        queued = f" and {view.foreign_queued} in Databricks' queue" if view.foreign_queued else ""
        return f"{taken}, {view.foreign} foreign runs{queued}"
    return f"{taken}, foreign runs: {cell(view.active.error)}"


def _duration(seconds: float) -> str:
    """Return a time span in its two largest units."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def _pass_line(status: PassStatus, now: datetime) -> str:
    name, last_pass = status.name, status.last
    late = "; LATE" if status.late else ""
    if last_pass is None:
        return f"{name}: has never begun{late}"
    outcome = cell(last_pass.outcome or "not finished")
    began = f"{name}: began {last_pass.started_at:%Y-%m-%d %H:%M:%S} UTC, {_age(last_pass, now):.0f} s ago"
    return f"{began}{_asked_by(last_pass)}: {outcome}{late}"


def _asked_by(last_pass: LastPass) -> str:
    """Say who asked for a pass, if it was not the timer."""
    return "" if last_pass.asked_by in {None, AskedBy.TIMER} else f" ({last_pass.asked_by})"


def _drawn(found: StatusReport) -> RenderableType:
    """Return a column for each workspace, to fit narrow terminals, and a line for each function."""
    names = [view.report.name for view in found.workspaces]
    columns = [_column(view) for view in found.workspaces]
    rows = [(label, *values) for label, *values in zip(_LABELS, *columns, strict=True)]
    passes = [_pass_row(status, found.now) for status in found.passes]
    return Group(
        drawn(["workspace", *names], rows, fixed=1),
        drawn(["function", "began", "ago", "outcome"], passes, fixed=3),
        Text(f"{found.now:%Y-%m-%d %H:%M:%S} UTC", style="dim"),
    )


def _age(last_pass: LastPass, now: datetime) -> float:
    return (now - last_pass.started_at).total_seconds()


def _pass_row(status: PassStatus, now: datetime) -> tuple[object, ...]:
    name, last_pass = status.name, status.last
    late = " LATE" if status.late else ""
    if last_pass is None:
        return name, None, f"never{late}", None
    return (
        name,
        last_pass.started_at,
        f"{_duration(_age(last_pass, now))}{_asked_by(last_pass)}{late}",
        last_pass.outcome or "not finished",
    )


#: The open states, in the order of a run.
_OPEN = tuple(status for status in Status if status in OPEN)

_LABELS = (*_OPEN, "last hour", "last day", "oldest waits", "slots")


def _column(view: WorkspaceStatus) -> list[object]:
    report = view.report
    oldest = report.oldest_waiting_seconds
    return [
        *(report.open.get(status, 0) for status in _OPEN),
        _counts(report.finished_hour),
        _counts(report.finished_day),
        None if oldest is None else _duration(oldest),
        _slots(view),
    ]


COMMANDS = (_status,)
