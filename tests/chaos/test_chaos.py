"""The short form of ``make chaos``."""

from pathlib import Path

import pytest

from tests.chaos.run import chaos

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def test_nothing_is_lost_over_kills(tmp_path: Path) -> None:
    report = await chaos(tmp_path, seconds=20, seed=4)
    assert report.violations == [], report.figures()
    assert report.entries > 20
    assert sum(report.kills.values()) > 0
