"""The program behind docs/cost.md: its arithmetic, and the pages that quote it."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from examples.cost import model, tables
from examples.cost.__main__ import FILE
from examples.cost.model import Book
from tests.conftest import ROOT

CONTENT = FILE.read_text(encoding="utf-8")
BOOK = model.read(tomllib.loads(CONTENT))
PRINTED = tables.all_tables(BOOK)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def way(book: Book, name: str) -> model.Way:
    [found] = [each for each in model.ways(book) if each.name.startswith(name)]
    return found


def with_price(name: str, price: float | None) -> Book:
    return replace(BOOK, prices={**BOOK.prices, name: replace(BOOK.prices[name], price=price)})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", "import runpy, sys; sys.path.insert(0, sys.argv.pop(1));"
         " runpy.run_module('examples.cost', run_name='__main__')", str(ROOT), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_page_has_the_program_s_tables() -> None:
    text = page("docs/cost.md")
    missing = [table for table in PRINTED if table not in text]
    assert missing == [], "run `python -m examples.cost` and put its tables into docs/cost.md"


def test_the_readme_quotes_rows_of_the_comparison() -> None:
    section = page("README.md").split("## What it costs\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 5
    assert [row for row in rows if row not in PRINTED[0].splitlines()] == []


def test_the_page_about_data_factory_comes_to_the_same_sums() -> None:
    section = page("docs/migrating.md").split("## What a run costs\n")[1].split("\n## ")[0]
    native, pipelines = (
        way(BOOK, name).month or 0 for name in ("Data Factory: Notebook", "Data Factory: Jobs API, two")
    )
    app = way(BOOK, "this app").month or 0
    items = [f"${amount:.2f}" for amount in model.app_items(BOOK).values() if amount is not None]
    for text in (
        f"= ${native:,.2f}",
        f"= ${pipelines:,.2f}",
        f"{model.gb_seconds(BOOK):,.0f} \N{MINUS SIGN}",
        f"{' + '.join(items)} = ${app:.2f}",
    ):
        assert text in section


def test_the_program_takes_a_reader_s_prices(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(CONTENT.replace("price = 0.000026", "price = 0.00026"), encoding="utf-8")
    done = run(str(mine))
    assert (done.returncode, done.stderr) == (0, "")
    assert "| GB-seconds, $ | $63.86 |" in done.stdout
    assert run().stdout.strip() == "\n\n".join(PRINTED)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[load", "TOMLDecodeError"),
        ("[load]\nruns_a_day = 1", "KeyError: 'prices'"),
        (CONTENT.replace("memory_gb =", "memory ="), "KeyError: 'memory_gb'"),
        (CONTENT.replace("run_minutes =", "minutes ="), "TypeError"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, why: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text, encoding="utf-8")
    done = run(str(mine))
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert run(str(tmp_path / "none.toml")).returncode == 1


def test_a_price_that_was_not_found_is_named_and_left_out() -> None:
    book = with_price("log_gb", None)
    assert "| logs, $ | not found here |" in tables.month(book)
    assert model.total(model.app_items(book)) == pytest.approx(
        model.total(model.app_items(BOOK)) - (model.app_items(BOOK)["logs"] or 0)
    )
    assert "| not found here | 1,000 activity runs" in tables.prices(with_price("activity_run", None))
    assert way(with_price("activity_run", None), "Data Factory: Notebook").month is None


def test_every_price_has_a_source_and_a_date() -> None:
    bare = [
        name
        for name, each in BOOK.prices.items()
        if not each.page.startswith("https://")
        or (each.price is not None and not (each.seen.startswith("https://") and each.date[:2] == "20"))
    ]
    assert bare == []


def test_the_connector_by_hand() -> None:
    """1,000 runs of 10 minutes: 3,000 activity runs, and 10,000 minutes of waiting."""
    found = way(BOOK, "Data Factory: Notebook")
    assert 1000 * (found.run or 0) == pytest.approx(3 + 1000 * 10 / 60 * 0.00025)
    assert (found.idle, found.night) == (0, 0)


@pytest.mark.parametrize(
    ("runs_a_day", "seconds"),
    [
        (1440 * 5, 43_200),  # each pass claims five: one instance for a second
        (1440 * 6, 86_400),  # two instances
        (1440 * 500, 43_200 * 100),  # a hundred instances take five each
        (1440 // 2, 720 * 30),  # each submission by itself
    ],
)
def test_submissions_of_a_pass_share_instances(runs_a_day: int, seconds: float) -> None:
    book = replace(BOOK, load=replace(BOOK.load, runs_a_day=runs_a_day))
    assert model.gb_seconds(book) / 2 - model.passes(book) == pytest.approx(seconds)


@pytest.mark.parametrize(("seconds", "billed"), [(0.2, 1), (1.0, 1), (1.01, 1.1), (2.3, 2.3)])
def test_a_second_at_least_and_then_tenths_are_billed(seconds: float, billed: float) -> None:
    book = replace(
        BOOK,
        load=replace(BOOK.load, runs_a_day=0),
        assumed={**BOOK.assumed, "pass_seconds": seconds, "memory_gb": 1},
    )
    assert model.gb_seconds(book) == pytest.approx(model.passes(book) * billed)


def test_quicker_schedules_keep_no_record_of_the_timer() -> None:
    quick, slow = (
        model.app_items(model.with_schedules(BOOK, trigger=seconds, monitor=60))["storage operations"] or 0
        for seconds in (59, 60)
    )
    assert slow - quick == pytest.approx(43_200 / 10_000 * 0.055)
