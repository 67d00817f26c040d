"""NCRONTAB, the schedules of Azure's timers.

The rules are those of the library behind them, https://github.com/atifaziz/NCrontab. They differ from cron's,
so that croniter would accept what Azure refuses: the second comes first, day *and* day of week must match,
Sunday is only 0, a range does not wrap around, and there is no ``L``, ``#``, ``?`` or hash.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_MONTHS = ("JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE",
           "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER")  # fmt: skip
_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")

#: A 29 February on a given weekday comes at the latest after 40 years (around 2100, which has none).
_HORIZON = timedelta(days=366 * 41)

_TIMESPAN = re.compile(r"[\d.]+:\d+(:\d+)?")
_TERM = re.compile(r"(?P<all>\*)?(?P<first>\w+)?(-(?P<last>\w+))?(/(?P<step>\d+))?", re.ASCII)


class ScheduleError(ValueError):
    """A schedule that Azure would refuse, or that is never due."""


@dataclass(frozen=True)
class _Field:
    """The bounds of one field and the names that its values have, the lowest value's first."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a timer is due, in UTC. Made by :func:`parse`."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    #: 0 is Sunday
    weekdays: tuple[int, ...]

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time that is due after, not at, an aware moment.

        :raises ScheduleError: there is none.
        """
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        first = self._first_time(start.time()) if self._is_due_on(start.date()) else None
        if first is not None:
            return datetime.combine(start, first, UTC)
        for offset in range(1, _HORIZON.days):
            day = start.date() + timedelta(days=offset)
            if self._is_due_on(day):
                return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]), UTC)
        raise ScheduleError(f"{self.text!r} is never due")

    def _is_due_on(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _first_time(self, earliest: time) -> time | None:
        """Return the first due time of a day from a time on, None when the day has none left."""
        for hour in self.hours:
            for minute in self.minutes:
                if (hour, minute) < (earliest.hour, earliest.minute):
                    continue
                for second in self.seconds:
                    due = time(hour, minute, second)
                    if due >= earliest:
                        return due
        return None


def parse(text: str) -> Schedule:
    """Read ``{second} {minute} {hour} {day} {month} {day of week}``; with five fields the second is 0.

    :raises ScheduleError: it is not an NCRONTAB expression, or it is never due.
    """
    if _TIMESPAN.fullmatch(text.strip()):
        raise ScheduleError(
            f"{text!r}: an interval works only on a dedicated App Service plan; write six NCRONTAB fields"
        )
    terms = text.split()
    if len(terms) == len(_FIELDS) - 1:
        terms.insert(0, "0")
    if len(terms) != len(_FIELDS):
        names = " ".join(f"{{{field.name}}}" for field in _FIELDS)
        raise ScheduleError(f"{text!r} has {len(terms)} fields; the six of NCRONTAB are {names}")
    try:
        values = [_values(field, terms[position]) for position, field in enumerate(_FIELDS)]
    except ScheduleError as error:
        raise ScheduleError(f"{text!r}: {error}") from None
    seconds, minutes, hours, days, months, weekdays = values
    schedule = Schedule(
        text=text,
        seconds=seconds,
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
    )
    schedule.next_after(datetime(2000, 1, 1, tzinfo=UTC))  # raises when it is never due
    return schedule


def _values(field: _Field, text: str) -> tuple[int, ...]:
    """Return the values that a field's list of terms stands for, ascending."""
    chosen: set[int] = set()
    for term in text.split(","):
        chosen.update(_term(field, term))
    return tuple(sorted(chosen))


def _term(field: _Field, text: str) -> range:
    """Read ``*``, ``n``, ``n-m``, each with or without ``/step``; ``n/step`` runs to the highest value."""
    match = _TERM.fullmatch(text)
    if match is None or bool(match["all"]) == bool(match["first"]) or (match["all"] and match["last"]):
        raise ScheduleError(f"{text!r} is not a {field.name}")
    step = int(match["step"] or 1)
    if step < 1:
        raise ScheduleError(f"the step of {text!r} must be 1 or more")
    if match["all"]:
        return range(field.lowest, field.highest + 1, step)
    first = _value(field, match["first"])
    last = _value(field, match["last"]) if match["last"] else first
    if match["step"] and not match["last"]:
        last = field.highest
    if first > last:  # NCrontab would swap the two, which nobody who writes FRI-MON means
        raise ScheduleError(f"the range {text!r} must rise")
    return range(first, last + 1, step)


def _value(field: _Field, text: str) -> int:
    for position, name in enumerate(field.names):
        if text.upper() in {name, name[:3]}:
            return field.lowest + position
    if not text.isdecimal() or not field.lowest <= int(text) <= field.highest:
        named = f" or a name such as {field.names[0][:3]}" if field.names else ""
        raise ScheduleError(
            f"{text!r} is not a {field.name}: it must be from {field.lowest} to {field.highest}{named}"
        )
    return int(text)
