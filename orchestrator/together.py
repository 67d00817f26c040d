"""Waiting for several things at once."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

_T = TypeVar("_T")


async def all_of(work: Iterable[Awaitable[_T]]) -> list[_T]:
    """Wait until everything has ended, then return the results in order, or raise the first error.

    Nothing goes on in the background when this returns, unlike after ``asyncio.gather``.
    """
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
