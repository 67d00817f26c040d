"""What a load costs, by each way to run it. Amounts are US dollars; None = a price is not known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

NOT_FOUND = "not found here"

#: Seconds of a day, and hours of the month that a monthly price is for.
DAY = 86_400
PRICED_HOURS = 730

#: Without anything to do, one pass of a timer in this time does everything.
_WHOLE_EVERY_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Price:
    """What something costs, and who says so."""

    #: dollars for a unit; None = it was not found
    price: float | None
    unit: str
    #: units of a month that cost nothing, in the unit of the use
    free: float = 0
    #: where the provider publishes it
    page: str
    #: where this number was read
    seen: str
    #: when, and of which region
    date: str

    def of(self, number: float, *, per: float = 1, free: bool = True) -> float | None:
        """Return what a number of things cost.

        :param per: how many of them are in the unit of the price.
        :param free: leave out those that cost nothing.
        """
        if self.price is None:
            return None
        return max(0.0, number - (self.free if free else 0)) / per * self.price


@dataclass(frozen=True, kw_only=True)
class Load:
    """The runs of a day, for a month."""

    runs_a_day: int
    run_minutes: float
    #: of a month
    days: float
    night_hours: float

    @property
    def runs(self) -> float:
        """Runs of a month."""
        return self.runs_a_day * self.days

    @property
    def hours(self) -> float:
        """Hours of a month."""
        return 24 * self.days


@dataclass(frozen=True, kw_only=True)
class Book:
    """The file: prices, load, what was measured and what is assumed."""

    prices: Mapping[str, Price]
    load: Load
    measured: Mapping[str, Mapping[str, float]]
    assumed: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run the load. The database is not in it: all need one."""

    name: str
    #: for a month without a run
    idle: float | None
    #: for each run
    run: float | None
    #: for the load, with what is free
    month: float | None
    #: for the hours of an idle night
    night: float | None


def read(content: Mapping[str, Any]) -> Book:
    """Read the file. :raises KeyError: something is missing. :raises TypeError: something is not known."""
    prices = {
        name: Price(**{**each, "price": None if each["price"] == NOT_FOUND else each["price"]})
        for name, each in content["prices"].items()
    }
    return Book(
        prices=prices,
        load=Load(**content["load"]),
        measured=content["measured"],
        assumed=content["assumed"],
    )


def with_schedules(book: Book, *, trigger: float, monitor: float) -> Book:
    """Return the same with other schedules: seconds between two passes."""
    return replace(book, assumed={**book.assumed, "trigger_seconds": trigger, "monitor_seconds": monitor})


def without_runs(book: Book) -> Book:
    """Return the same with nothing to run."""
    return replace(book, load=replace(book.load, runs_a_day=0))


def night_of(book: Book) -> Book:
    """Return an idle night: a month of one day that is as short."""
    hours = book.load.night_hours
    return replace(without_runs(book), load=replace(book.load, runs_a_day=0, days=hours / 24))


def total(amounts: Mapping[str, float | None]) -> float:
    """Add up what is known."""
    return sum(amount for amount in amounts.values() if amount is not None)


def ways(book: Book) -> list[Way]:
    """Return every way to run the load."""
    return [*_data_factory(book), *_airflow(book), _app(book)]


def _data_factory(book: Book) -> list[Way]:
    assumed, minutes = book.assumed["data_factory"], book.load.run_minutes
    connector = assumed["connector_activities"]
    looks, turns = (math.ceil(minutes / assumed[key]) for key in ("look_minutes", "until_minutes"))
    around = assumed["start_activities"] + assumed["end_activities"]
    network = book.prices["managed_network_hour"].of(book.load.hours)
    native = _pipelines(book, "Data Factory: Notebook or Job activity", connector, minutes)
    return [
        native,
        replace(
            native,
            name="the same in a managed virtual network, its runtime up all the time",
            idle=network,
            run=book.prices["activity_run"].of(connector, per=1000),
            month=_sum(book.prices["activity_run"].of(connector * book.load.runs, per=1000), network),
            night=book.prices["managed_network_hour"].of(book.load.night_hours),
        ),
        _pipelines(
            book,
            f"Data Factory: Jobs API, two pipelines, a look every {assumed['look_minutes']} minutes",
            around + looks * assumed["look_activities"],
            1 + looks,
            idle=assumed["idle_activities"],
        ),
        _pipelines(
            book,
            f"Data Factory: Jobs API, an Until loop with a look every {assumed['until_minutes']} minute",
            around + 1 + turns * assumed["look_activities"],
            1 + turns,
            idle=assumed["idle_activities"],
        ),
    ]


def _pipelines(book: Book, name: str, activities: float, minutes: float, *, idle: float = 0) -> Way:
    """Return a way of Data Factory.

    :param activities: activity runs of a run.
    :param minutes: of external activities of a run; each takes a minute at least.
    :param idle: activity runs each time that the pipelines find nothing to do.
    """
    runs, hours = book.prices["activity_run"], book.prices["external_hour"]
    each_hour = 60 / book.assumed["data_factory"]["pipeline_minutes"] * idle
    idle_month = runs.of(each_hour * book.load.hours, per=1000)
    run = _sum(runs.of(activities, per=1000), hours.of(minutes / 60))
    return Way(
        name=name,
        idle=idle_month,
        run=run,
        month=None if run is None else _sum(idle_month, run * book.load.runs),
        night=runs.of(each_hour * book.load.night_hours, per=1000),
    )


def _airflow(book: Book) -> list[Way]:
    manager = "Managed Airflow: Workflow Orchestration Manager"
    return [
        _by_the_hour(book, f"{manager}, small, no extra nodes", "airflow_small_hour", 1),
        _by_the_hour(book, f"{manager}, large, no extra nodes", "airflow_large_hour", 1),
        _by_the_hour(book, "Managed Airflow: an Airflow job of Fabric, small", "fabric_unit_hour", 5),
    ]


def _by_the_hour(book: Book, name: str, price: str, units: float) -> Way:
    month = book.prices[price].of(units * book.load.hours)
    return Way(
        name=name,
        idle=month,
        run=0.0,
        month=month,
        night=book.prices[price].of(units * book.load.night_hours),
    )


def _app(book: Book) -> Way:
    idle, busy = (total(app_items(each, free=False)) for each in (without_runs(book), book))
    return Way(
        name="this app on Flex Consumption",
        idle=total(app_items(without_runs(book))),
        run=(busy - idle) / book.load.runs,
        month=total(app_items(book)),
        night=total(app_items(night_of(book), free=False)),
    )


def app_items(book: Book, *, free: bool = True) -> dict[str, float | None]:
    """Return what the app costs in a month without its database, by item."""
    prices, assumed = book.prices, book.assumed
    polls = (
        assumed["queue_polls_a_day"] * book.load.days,
        assumed["lease_operations_a_day"] * book.load.days,
    )
    # The host keeps no status of a timer that runs more often than once a minute.
    writes = sum(number for number, seconds in _timers(book) if seconds >= 60)
    storage = _sum(
        prices["queue_operation"].of(book.load.runs * assumed["queue_operations"] + polls[0], per=10_000),
        prices["blob_write"].of(writes, per=10_000),
        prices["blob_other"].of(polls[1], per=10_000),
    )
    return {
        "GB-seconds": prices["gb_second"].of(gb_seconds(book), free=free),
        "executions": prices["execution"].of(executions(book), per=1_000_000, free=free),
        "storage operations": storage,
        "logs": prices["log_gb"].of(log_gb(book), free=free),
        "alert rules": prices["alert_rule"].of(assumed["alert_rules"] * book.load.hours / PRICED_HOURS),
    }


def databases(book: Book) -> dict[str, float | None]:
    """Return what the database costs in a month, by its kind."""
    prices, assumed = book.prices, book.assumed
    awake = prices["vcore_hour"].of(assumed["vcores_billed"] * book.load.hours)
    days = prices["vcore_hour"].of(assumed["vcores_billed"] * (24 - book.load.night_hours) * book.load.days)
    space = prices["database_gb"].of(assumed["database_gb"] * book.load.hours / PRICED_HOURS)
    return {
        "S0": prices["s0_month"].of(book.load.hours, per=PRICED_HOURS),
        "serverless, awake all the time": _sum(awake, space),
        f"serverless, paused {book.load.night_hours:g} hours a day": _sum(days, space),
    }


def passes(book: Book) -> float:
    """Return how many passes the two timers make in a month."""
    return sum(number for number, _ in _timers(book))


def does(book: Book, what: str) -> float:
    """Return how often the app does something that was counted, in a month."""
    whole = [_whole(book, number) for number, _ in _timers(book)]
    numbers = {
        "whole_trigger_pass": whole[0],
        "whole_monitor_pass": whole[1],
        "idle_pass": passes(book) - sum(whole),
        "entry": book.load.runs,
    }
    return sum(number * book.measured[kind].get(what, 0) for kind, number in numbers.items())


def _whole(book: Book, number: float) -> float:
    """Return how many of a timer's passes do everything: all, or one in five minutes without runs."""
    return number if book.load.runs else min(number, book.load.days * DAY / _WHOLE_EVERY_SECONDS)


def _timers(book: Book) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the passes of a month and the seconds between them, of ``trigger`` and of ``monitor``."""
    seconds = book.assumed["trigger_seconds"], book.assumed["monitor_seconds"]
    trigger, monitor = (book.load.days * DAY / each for each in seconds)
    return (trigger, seconds[0]), (monitor, seconds[1])


def executions(book: Book) -> float:
    """Return the executions of a month: passes and submissions."""
    return passes(book) + book.load.runs


def gb_seconds(book: Book) -> float:
    """Return the GB-seconds that are billed for a month."""
    assumed = book.assumed
    seconds = passes(book) * _billed(assumed["pass_seconds"]) + _submission_seconds(book)
    return float(seconds * assumed["memory_gb"])


def _submission_seconds(book: Book) -> float:
    """Return the seconds for which instances submit, if each pass claims as much as any other."""
    assumed, triggers = book.assumed, _timers(book)[0][0]
    entries = book.load.runs / triggers
    if entries <= 1:
        return float(book.load.runs * _billed(assumed["submission_seconds"]))
    instances = math.ceil(entries / assumed["messages_an_instance"])
    rounds = math.ceil(entries / instances / assumed["at_once"])
    return float(triggers * instances * _billed(rounds * assumed["submission_seconds"]))


def _billed(seconds: float) -> float:
    """Return what is billed for some seconds: a second at least, and then each tenth that was begun."""
    return max(1.0, math.ceil(round(seconds * 10, 6)) / 10)


def log_gb(book: Book) -> float:
    """Return the GB of logs of a month."""
    assumed = book.assumed
    own = does(book, "log_lines") * assumed["lines_sent"] + does(book, "spans")
    # The template has the writing of each message logged as well.
    records = own + executions(book) * assumed["host_records"] + does(book, "messages")
    return float(records * assumed["record_bytes"] / 1e9)


def _sum(*amounts: float | None) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
