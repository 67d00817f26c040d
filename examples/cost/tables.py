"""The tables of docs/cost.md."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from examples.cost import model
from examples.cost.model import NOT_FOUND, Book

#: Seconds between two passes, of ``trigger`` and of ``monitor``.
SCHEDULES = ((60, 60), (15, 60), (10, 60), (10, 10))


def all_tables(book: Book) -> list[str]:
    """Return the tables in Markdown, in the order in which the page has them."""
    return [comparison(book), month(book), night(book), uses(book), prices(book)]


def comparison(book: Book) -> str:
    """Compare the ways to run the load."""
    load = book.load
    head = [
        "without the database",
        f"1,000 runs of {load.run_minutes:g} minutes",
        f"{load.runs_a_day:,} a day, a month",
        "a month without a run",
        f"an idle night of {load.night_hours:g} hours",
    ]
    return _table(
        head,
        (
            [
                way.name,
                _dollars(None if way.run is None else 1000 * way.run),
                _dollars(way.month),
                _dollars(way.idle),
                _dollars(way.night),
            ]
            for way in model.ways(book)
        ),
    )


def month(book: Book) -> str:
    """Return what the app costs in a month by item, for each schedule, and the database."""
    books = _scheduled(book)
    items = [model.app_items(each) for each in books]
    rows = [
        ["passes", *(f"{model.passes(each):,.0f}" for each in books)],
        ["executions", *(f"{model.executions(each):,.0f}" for each in books)],
        ["GB-seconds", *(f"{model.gb_seconds(each):,.0f}" for each in books)],
        ["GB of logs", *(f"{model.log_gb(each):.1f}" for each in books)],
        *([f"{name}, $", *(_dollars(each[name]) for each in items)] for name in items[0]),
        ["**the app**", *(f"**{_dollars(model.total(each))}**" for each in items)],
        *_database_rows(books),
    ]
    return _table([f"{book.load.runs_a_day:,} runs a day, a month", *_schedule_names()], rows)


def night(book: Book) -> str:
    """Return what an idle night costs, for each schedule."""
    books = [model.night_of(each) for each in _scheduled(book)]
    items = [model.app_items(each, free=False) for each in books]
    rows = [
        ["passes", *(f"{model.passes(each):,.0f}" for each in books)],
        *(
            [text, *(f"{model.does(each, name):,.0f}" for each in books)]
            for text, name in (
                ("transactions of the database", "transactions"),
                ("calls of a workspace", "calls"),
            )
        ),
        *([f"{name}, $", *(_dollars(each[name]) for each in items)] for name in items[0]),
        ["**the app**", *(f"**{_dollars(model.total(each))}**" for each in items)],
        *_database_rows(books)[:2],
    ]
    return _table([f"an idle night of {book.load.night_hours:g} hours", *_schedule_names()], rows)


def _scheduled(book: Book) -> list[Book]:
    return [model.with_schedules(book, trigger=trigger, monitor=monitor) for trigger, monitor in SCHEDULES]


def _schedule_names() -> list[str]:
    return [f"trigger {trigger} s, monitor {monitor} s" for trigger, monitor in SCHEDULES]


def _database_rows(books: Sequence[Book]) -> list[list[str]]:
    found = [model.databases(each) for each in books]
    return [[f"database: {name}", *(_dollars(each[name]) for each in found)] for name in found[0]]


def uses(book: Book) -> str:
    """Return what the app does, as it was counted."""
    kinds = {
        "whole_trigger_pass": "a whole pass of `trigger`",
        "whole_monitor_pass": "of `monitor`",
        "idle_pass": "an idle pass",
        "entry": "an entry",
    }
    names = ["transactions", "statements", "calls", "messages", "log_lines", "spans"]
    rows = (
        [text, *(f"{book.measured[kind].get(name, 0):,g}" for name in names)] for kind, text in kinds.items()
    )
    return _table(["", *(name.replace("_", " ") for name in names)], rows)


def prices(book: Book) -> str:
    """Return the prices, with their sources."""
    return _table(
        ["price", "for", "published by", "read in", "of"],
        (
            [
                NOT_FOUND if each.price is None else _exact(each.price),
                each.unit + (f"; {each.free:,} a month are free" if each.free else ""),
                _link("the provider", each.page),
                _link("a copy", each.seen) if each.seen else "",
                each.date,
            ]
            for each in book.prices.values()
        ),
    )


def _link(text: str, url: str) -> str:
    return f"[{text}]({url})"


def _exact(price: float) -> str:
    """Return a price with all its digits, two behind the point at least."""
    digits = f"{Decimal(str(price)):f}"
    return f"${max(digits, f'{price:.2f}', key=len)}"


def _dollars(amount: float | None) -> str:
    if amount is None:
        return NOT_FOUND
    return f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
