"""A fake workspace, and a rule for every test in this folder: no token in any log line."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.databricks.support import Workspace, assert_no_leak


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    async with Workspace().serve() as serving:
        yield serving


@pytest.fixture(autouse=True)
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may bring the token into a log line, of any library at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    assert_no_leak(caplog)
