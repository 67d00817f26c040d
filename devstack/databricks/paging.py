"""Page tokens. A token names the last item of its page, so new items never shift the pages that follow."""

import base64
import binascii
from collections.abc import Iterable
from typing import Protocol, TypeVar

from devstack.databricks.errors import invalid


class Numbered(Protocol):
    """An item with a place in the order of creation."""

    @property
    def number(self) -> int:
        """The place, rising."""
        ...


Item = TypeVar("Item", bound=Numbered)


def take_page(newest_first: Iterable[Item], *, limit: int, page_token: str) -> tuple[list[Item], str]:
    """Return the items of a page and the token of the next page, empty when there is none.

    :raises ApiError: the token was not made here.
    """
    before = _read(page_token) if page_token else None
    page: list[Item] = []
    for item in newest_first:
        if before is not None and item.number >= before:
            continue
        if len(page) == limit:
            return page, _write(page[-1].number)
        page.append(item)
    return page, ""


def _write(number: int) -> str:
    return base64.urlsafe_b64encode(f"before:{number}".encode()).decode()


def _read(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token).decode()
        return int(text.removeprefix("before:"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise invalid("Invalid page token.") from error
