"""``list``, ``show`` and ``export``: search for entries, and show one with all its runs."""

import asyncio
import csv
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict

import click

from orchestrator.cli import context, documents
from orchestrator.cli.options import (
    ID,
    NEGATIVE_IDS,
    Whole,
    filter_options,
    json_option,
    parameters_option,
    sort_option,
)
from orchestrator.cli.output import (
    FAILED,
    NOTHING,
    OK,
    complain,
    console,
    guarded,
    print_fields,
    print_json,
    print_table,
)
from orchestrator.core.models import Entry, LogRow
from orchestrator.core.numbers import MAX_INT32
from orchestrator.core.reports import Story
from orchestrator.core.search import (
    DEFAULT_RUNS,
    MAX_PAGE,
    MAX_RUNS,
    EntryFilter,
    EntryPage,
    InvalidCursor,
    Sort,
)
from orchestrator.ports import Reports

#: Most entries that one ``list`` prints; ``export`` prints all.
_MAX_LISTED = 10_000

#: Most pages that one command reads: entries that keep changing could reappear for ever.
_MAX_PAGES = 100_000

_COLUMNS = ("id", "workspace", "table_name", "status", "attempt", "run_id", "updated_at", "last_error")

#: All columns fit a terminal of this width; a narrower one gets fewer.
_WIDE = 100
_FEWER_COLUMNS = ("id", "table_name", "status", "attempt", "updated_at", "last_error")


@click.command("list")
@filter_options
@sort_option
@click.option(
    "--limit", type=Whole(1, _MAX_LISTED), default=50, show_default=True, help="At most this many entries."
)
@click.option(
    "--after", metavar="CURSOR", help="Continue where the last list ended, with the cursor that it printed."
)
@parameters_option
@json_option
def _list(
    *, wanted: EntryFilter, sort: str, limit: int, after: str | None, with_parameters: bool, as_json: bool
) -> int:
    """List entries, those that changed last first."""
    try:
        page, urls = asyncio.run(_find(wanted, Sort(sort), limit, after, parameters=with_parameters))
    except InvalidCursor as error:
        raise click.BadParameter(str(error), param_hint="--after") from None
    if as_json:
        entries = [
            documents.entry(entry, url, parameters=with_parameters)
            for entry, url in zip(page.entries, urls, strict=True)
        ]
        print_json({"entries": entries, "next": page.next})
    elif page.entries:
        columns = (*_columns(), "parameters") if with_parameters else _columns()
        print_table(columns, ([_shown(entry, name) for name in columns] for entry in page.entries))
    if page.next is not None:
        complain(f"there is more: --after {page.next}")
    elif not page.entries and after is None:
        complain("no entry matches")
    return OK if page.entries else NOTHING


def _columns() -> tuple[str, ...]:
    terminal = console()
    return _FEWER_COLUMNS if terminal.is_terminal and terminal.width < _WIDE else _COLUMNS


def _shown(entry: Entry, column: str) -> object:
    if column == "attempt" and entry.max_attempts:
        return f"{entry.attempt}/{entry.max_attempts}"
    if column == "status" and entry.with_failures:
        return f"{entry.status} with failures"
    return getattr(entry, "runid" if column == "run_id" else column)


async def _find(
    wanted: EntryFilter, sort: Sort, limit: int, after: str | None, *, parameters: bool
) -> tuple[EntryPage, list[str | None]]:
    """Return entries and the pages of their current runs.

    Read pages until there are enough entries: a page has few if matching entries are far apart.
    """
    entries: list[Entry] = []
    async with context.tools() as tools:
        async for page in _pages(tools.reports, wanted, sort, limit, after, parameters=parameters):
            entries += page.entries
            after = page.next
        urls = [tools.overview.run_page(entry) for entry in entries]
    return EntryPage(entries=entries, next=after), urls


async def _pages(
    reports: Reports,
    wanted: EntryFilter,
    sort: Sort,
    limit: int | None,
    after: str | None,
    *,
    parameters: bool,
) -> AsyncIterator[EntryPage]:
    """Yield pages to the end, or until they have `limit` entries."""
    found = 0
    for _ in range(_MAX_PAGES):
        left = MAX_PAGE if limit is None else min(MAX_PAGE, limit - found)
        page = await reports.entries(wanted, sort=sort, limit=left, after=after, parameters=parameters)
        yield page
        found += len(page.entries)
        after = page.next
        if after is None or found == limit:
            return


#: The names of ``--json``, without what a file cannot use: ``actions`` and ``run_page_url``.
_CSV_COLUMNS = (
    *("id", "workspace", "table_name", "job_id", "job_name", "options", "priority", "status", "run_id"),
    *("submission", "attempt", "max_attempts", "retry_mode", "run_timeout_seconds", "queue_timeout_seconds"),
    *("available_at", "cancel_requested", "stop_reason", "last_error", "with_failures", "slot_waits"),
    *("platform_failures", "postponements", "created_at", "updated_at", "claimed_at", "submitted_at"),
    *("queue_seconds", "missing_since", "unreadable_since", "cancel_asked_at", "run_state"),
    *("run_state_since", "finished_at"),
)


#: The columns with ids: digits, maybe behind a minus sign that begins no formula.
_IDS = frozenset({"id", "job_id", "run_id"})


@click.command("export")
@filter_options
@parameters_option
def _export(wanted: EntryFilter, with_parameters: bool) -> int:
    """Print all matching entries as CSV, oldest first.

    They are read page by page, so there is no limit.
    """
    return asyncio.run(_write_csv(wanted, with_parameters))


async def _write_csv(wanted: EntryFilter, with_parameters: bool) -> int:
    columns = (*_CSV_COLUMNS, "parameters") if with_parameters else _CSV_COLUMNS
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    code = NOTHING
    async with context.tools() as tools:
        pages = _pages(tools.reports, wanted, Sort.OLDEST, None, None, parameters=with_parameters)
        async for page in pages:
            for entry in page.entries:
                document = documents.entry(entry, None, parameters=with_parameters)
                writer.writerow({name: _csv(name, document[name]) for name in columns})
                code = OK
    if code == NOTHING:
        complain("no entry matches")
    return code


def _csv(name: str, value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return guarded(value) if isinstance(value, str) and name not in _IDS else value


@click.command("show", context_settings=NEGATIVE_IDS)
@click.argument("entry_id", type=ID, metavar="ID")
@click.option(
    "--runs",
    type=Whole(1, MAX_RUNS),
    default=DEFAULT_RUNS,
    show_default=True,
    help="At most this many, the last ones.",
)
@click.option(
    "--before",
    type=Whole(1, MAX_INT32),
    metavar="SUBMISSION",
    help="Only runs of earlier submissions, with the number that it printed.",
)
@parameters_option
@json_option
def _show(entry_id: int, runs: int, before: int | None, with_parameters: bool, as_json: bool) -> int:
    """Show an entry and its last runs."""
    story, page = asyncio.run(_story(entry_id, runs, before))
    if story is None:
        complain(f"there is no entry {entry_id}")
        return FAILED
    if as_json:
        print_json(documents.story(story, page, parameters=with_parameters))
    else:
        _print_entry(story.entry, page, with_parameters=with_parameters)
        for log in story.logs:
            _print_run(log)
    if story.earlier_before is not None:
        complain(f"there are earlier runs: --before {story.earlier_before}")
    return OK


async def _story(entry_id: int, runs: int, before: int | None) -> tuple[Story | None, str | None]:
    """Return an entry with its runs, and the page of its current run."""
    async with context.tools() as tools:
        story = await tools.reports.story(entry_id, parameters=True, runs=runs, before=before)
        return story, tools.overview.run_page(story.entry) if story else None


def _print_entry(entry: Entry, run_page_url: str | None, *, with_parameters: bool) -> None:
    fields = {**asdict(entry), "run_page_url": run_page_url}
    lengths = {"parameters": fields.pop("parameters_length"), "request": len(entry.request or "")}
    del fields["options_length"]
    for name, length in lengths.items():  # a request holds the parameters
        if fields[name] is not None and not with_parameters:
            fields[name] = f"{length} characters (--parameters shows them)"
    print_fields(fields)


def _print_run(log: LogRow) -> None:
    fields = asdict(log)
    for name in ("entry_id", "submission", "attempt", "status"):
        del fields[name]
    click.echo(f"\nsubmission {log.submission}, attempt {log.attempt}: {log.status}")
    print_fields(fields, indent="  ")


COMMANDS = (_list, _show, _export)
