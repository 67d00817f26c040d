"""The benchmark of what passes and entries ask for runs, and docs/cost.md promises no less than they do."""

import re
import tomllib

import pytest

from benchmarks import cost
from benchmarks.__main__ import main
from tests.conftest import ROOT

COUNTED = tomllib.loads((ROOT / "examples" / "cost" / "cost.toml").read_text(encoding="utf-8"))["measured"]


@pytest.fixture(scope="module")
def use() -> cost.Use:
    return cost.measured()


@pytest.mark.parametrize("doer", COUNTED)
def test_the_app_does_no_more_than_the_page_says(use: cost.Use, doer: str) -> None:
    """What it does less, the page may say later."""
    more = {kind: number for kind, number in use[doer].items() if number > COUNTED[doer].get(kind, 0)}
    assert more == {}, "run `python -m benchmarks cost`, put the figures into cost.toml, and renew the tables"


def test_an_entry_is_counted_whole(use: cost.Use) -> None:
    assert use["entry"]["messages"] == 1
    assert use["entry"]["calls"] >= 2  # run-now and runs/get
    assert use["entry"]["log_lines"] == 3  # claimed, submitted, finished


def test_what_is_counted_is_printed_and_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    main(["cost"])
    printed = capsys.readouterr().out
    assert "| entry " in printed
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    ways = [
        line for line in printed.splitlines() if re.match(r"\| (this app|Managed Airflow|Data Factory)", line)
    ]
    assert len({line.split()[1] for line in ways}) == 3
    assert [line for line in ways if line not in page] == []
