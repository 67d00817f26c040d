"""Types of values and groups of options that several commands share: ids, ages, times, the filter."""

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from orchestrator.core import times
from orchestrator.core.numbers import MAX_ID, MAX_INT32, MIN_ID, whole_of_text
from orchestrator.core.search import MAX_TEXT, EntryFilter, Sort
from orchestrator.core.states import NoStatus, Status


class Filled(click.ParamType[str]):
    """A text that is not blank."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        if not str(value).strip():
            self.fail("it is empty", param, ctx)
        return str(value)


class Whole(click.ParamType[int]):
    """A whole number between two bounds."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number."""
        try:
            return whole_of_text(str(value), least=self._least, most=self._most)
        except ValueError as error:
            if str(value).startswith("-") and not str(value)[1:].isdecimal():
                # A command that takes negative numbers passes on what is an option that it does not have.
                raise click.NoSuchOption(str(value), ctx=ctx) from None
            self.fail(f"{value!r} {error}", param, ctx)


class _Words(click.ParamType[str]):
    """Text to search for; bytes that are not text, which no database accepts, are refused."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text."""
        if not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            self.fail(f"give 1 to {MAX_TEXT} printable characters", param, ctx)
        return str(value)


class Age(click.ParamType[float]):
    """An age such as ``90d``, ``12h`` or ``30m``, in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the age."""
        try:
            return times.age_seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Moment(click.ParamType[datetime]):
    """A time, in UTC unless it has an offset, or an age counted back from this machine's clock."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the time."""
        try:
            return datetime.now(UTC) - timedelta(seconds=times.age_seconds(str(value)))
        except ValueError:
            pass  # not an age, so a time
        try:
            found = datetime.fromisoformat(str(value))
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time; use 2026-01-31, 2026-01-31T04:00 or an age such as 12h", param, ctx
            )


#: Of an entry; only those of an adopted table are below 1.
ID = Whole(MIN_ID, MAX_ID)

#: Of a job or a run of Databricks.
DATABRICKS_ID = Whole(1, MAX_ID)

#: Lets a command take ids of an adopted table that are negative: ``-17`` is no option.
NEGATIVE_IDS = {"ignore_unknown_options": True}

INT32 = Whole(-MAX_INT32 - 1, MAX_INT32)

#: Which entries: the same conditions as in the query of ``GET /api/entries``.
_FILTER = (
    click.option(
        "--table",
        type=_Words(),
        metavar="NAME",
        help="Of this table; sales* = of every table that begins with sales.",
    ),
    click.option("--workspace", type=_Words(), metavar="NAME", help="Of this Databricks workspace."),
    click.option(
        "--run-id", type=DATABRICKS_ID, help="With this Databricks run, the current one or an earlier one."
    ),
    click.option(
        "--since", type=_Moment(), help="Changed since: 2026-01-31T04:00 (UTC), or an age such as 12h."
    ),
    click.option("--until", type=_Moment(), help="Changed until this time or age."),
    click.option(
        "--error", type=_Words(), metavar="TEXT", help="With this text in the last error, ignoring case."
    ),
    click.option(
        "--with-failures",
        is_flag=True,
        default=None,
        flag_value=True,
        help="DONE although tasks of its run failed; the last error says which.",
    ),
)

_FILTER_NAMES = ("table", "workspace", "run_id", "since", "until", "error", "with_failures")


def filter_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the filter's options to a command, which receives them as one argument, ``wanted``."""
    return _filtered(command, [*Status, *NoStatus], "In this state, or UNREADABLE: in none; may be repeated.")


def filter_of_changes(command: Callable[..., int]) -> Callable[..., int]:
    """Add the same options to a command that changes entries, which those without a state forbid."""
    return _filtered(command, list(Status), "In this state; may be repeated.")


def _filtered(
    command: Callable[..., int], choices: Sequence[Status | NoStatus], help_text: str
) -> Callable[..., int]:
    @functools.wraps(command)
    def packed(*, states: tuple[Status | NoStatus, ...], **values: Any) -> int:
        fields = {name: values.pop(name) for name in _FILTER_NAMES}
        return command(wanted=EntryFilter(states=frozenset(states), **fields), **values)

    type_ = click.Choice(choices, case_sensitive=False)
    state = click.option("--state", "states", type=type_, multiple=True, help=help_text)
    for option in reversed((state, *_FILTER)):
        packed = option(packed)
    return packed


sort_option = click.option(
    "--sort",
    type=click.Choice([sort.value for sort in Sort]),
    default=Sort.LAST_CHANGED.value,
    show_default=True,
    help="By id or by last change; - = highest or latest first.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")

parameters_option = click.option(
    "--parameters", "with_parameters", is_flag=True, help="Show the entries' parameters, too."
)
