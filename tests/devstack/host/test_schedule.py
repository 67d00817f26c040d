"""NCRONTAB schedules."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.host.schedule import ScheduleError, parse


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# 2026-01-01 is a Thursday.
@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("* * * * * *", "2026-01-01 00:00:00", "2026-01-01 00:00:01"),
        ("* * * * * *", "2026-01-01 00:00:00.999", "2026-01-01 00:00:01"),
        ("*/10 * * * * *", "2026-01-01 00:00:50", "2026-01-01 00:01:00"),
        ("0 */5 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:05:00"),
        ("0 */5 * * * *", "2026-01-01 23:56:00", "2026-01-02 00:00:00"),
        ("30 0 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:00:30"),
        ("0,15 * * * * *", "2026-01-01 00:00:01", "2026-01-01 00:00:15"),
        ("5-7 * * * * *", "2026-01-01 00:00:07", "2026-01-01 00:01:05"),
        ("10-40/15 * * * * *", "2026-01-01 00:00:26", "2026-01-01 00:00:40"),
        ("5/20 * * * * *", "2026-01-01 00:00:26", "2026-01-01 00:00:45"),
        ("0 0 9-17 * * MON-FRI", "2026-01-02 17:00:00", "2026-01-05 09:00:00"),
        ("0 30 9 * JAN,Jun monday", "2026-01-27 00:00:00", "2026-06-01 09:30:00"),
        ("0 0 0 * * 0", "2026-01-01 00:00:00", "2026-01-04 00:00:00"),
        ("0 0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00:00"),
        ("0 0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00"),
        ("59 59 23 31 12 *", "2026-12-31 23:59:59", "2027-12-31 23:59:59"),
        # both day and day of week must match: a Friday the 13th
        ("0 0 0 13 * FRI", "2026-01-01 00:00:00", "2026-02-13 00:00:00"),
        # five fields are taken as minutes
        ("*/5 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:05:00"),
    ],
)
def test_next_due_time(expression: str, after: str, due: str) -> None:
    assert parse(expression).next_after(moment(after)) == moment(due)


def test_times_are_utc() -> None:
    noon_in_kolkata = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert parse("0 0 7 * * *").next_after(noon_in_kolkata) == moment("2026-01-01 07:00:00")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("60 * * * * *", "'60' is not a second: it must be from 0 to 59"),
        ("* * 24 * * *", "'24' is not a hour"),
        ("* * * 0 * *", "'0' is not a day: it must be from 1 to 31"),
        ("* * * * 13 *", "from 1 to 12 or a name such as JAN"),
        ("* * * * * 7", "from 0 to 6 or a name such as SUN"),
        ("* * * * * FRI-MON", "must rise"),
        ("* * * * FOO *", "'FOO' is not a month"),
        ("*/0 * * * * *", "must be 1 or more"),
        ("*/x * * * * *", "'\\*/x' is not a second"),
        ("1,,2 * * * * *", "'' is not a second"),
        ("*-5 * * * * *", "is not a second"),
        ("-1 * * * * *", "is not a second"),
        ("* * * L * *", "'L' is not a day"),
        ("* * * ? * *", "is not a day"),
        ("0 0 0 30 2 *", "never due"),
        ("00:05:00", "dedicated App Service plan"),
    ],
)
def test_a_wrong_schedule_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        parse(expression)


def fields(lowest: int, highest: int) -> st.SearchStrategy[str]:
    values = st.integers(lowest, highest)
    pairs = st.tuples(values, values).filter(lambda ends: ends[0] < ends[1])  # croniter reads 0-0 as all days
    ranges = pairs.map(lambda ends: f"{ends[0]}-{ends[1]}")
    return st.one_of(st.just("*"), values.map(str), ranges)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.tuples(fields(0, 59), fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 6)),
    st.integers(0, 70 * 365 * 86400).map(lambda seconds: moment("2020-01-01") + timedelta(seconds=seconds)),
)
def test_agrees_with_croniter_where_the_two_languages_do(terms: tuple[str, ...], after: datetime) -> None:
    expression = " ".join(terms)
    expected = croniter(
        expression, after, second_at_beginning=True, day_or=False, max_years_between_matches=60
    ).get_next(datetime)
    assert parse(expression).next_after(after) == expected
