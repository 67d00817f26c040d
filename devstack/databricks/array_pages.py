"""Pages of one job or run: its long arrays continue under a page token."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from devstack.databricks.errors import invalid

#: Elements of each array in one answer.
PAGE_SIZE = 100

#: The arrays that are cut into pages.
ARRAYS = frozenset(
    {"tasks", "iterations", "job_parameters", "repair_history", "job_clusters", "parameters", "environments"}
)


def array_page(view: Mapping[str, Any], page_token: str = "") -> tuple[dict[str, Any], str]:
    """Cut the arrays of a job or run to one page; return it and the next page's token, empty for none.

    :param page_token: of the page, empty = the first.
    :raises ApiError: the token was not made here.
    """
    start = _read(page_token) if page_token else 0
    end = start + PAGE_SIZE
    arrays = {name: value for name, value in view.items() if name in ARRAYS and isinstance(value, list)}
    more = any(len(array) > end for array in arrays.values())
    return {**view, **{name: array[start:end] for name, array in arrays.items()}}, _write(end) if more else ""


def _write(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def _read(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("from:"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise invalid("Invalid page token.") from error
