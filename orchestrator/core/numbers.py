"""Read whole numbers from JSON and from text; the bounds of ids and of 32-bit columns. Pure."""

import re
from typing import NoReturn

#: Ids of entries, runs and jobs are signed 64-bit integers, in the API of Databricks and in both stores;
#: other whole numbers have 32 bits. Only entries of an adopted table have ids below 1.
MAX_ID = 2**63 - 1
MIN_ID = -MAX_ID
MAX_INT32 = 2**31 - 1

#: Longer digits fit no column, and Python refuses to read thousands of them.
_DIGITS = re.compile(r"-?[0-9]{1,19}")


def whole(value: object, *, least: int, most: int) -> int:
    """Return a number of JSON as a whole number. JSON may write 5 as 5.0; true and "5" are not numbers.

    :raises ValueError: what it must be, to follow the name of the field.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(_must_be(least, most))
    return value


def whole_of_text(text: str, *, least: int, most: int) -> int:
    """Return the whole number that a text writes in the digits 0 to 9, with an optional leading minus sign.

    :raises ValueError: what it must be, to follow the name of the field.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError(_must_be(least, most))
    return whole(int(text), least=least, most=most)


def id_text(number: int | None) -> str | None:
    """Return an id as JSON has it. None stays None.

    It is text: JavaScript, and whatever else reads numbers as 64-bit floats, changes those above 2**53.
    """
    return None if number is None else str(number)


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, Python's extension of JSON; for ``parse_constant`` of ``json.loads``."""
    raise ValueError(f"{name} is not a JSON number")


def _must_be(least: int, most: int) -> str:
    return f"must be a whole number from {least} to {most}"


def _id_pattern() -> str:
    """Return a regular expression for the texts that are whole numbers from MIN_ID to MAX_ID."""
    digits = str(MAX_ID)
    smaller = [
        f"{digits[:place]}[0-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if digit != "0"
    ]
    return f"^-?([0-9]{{1,{len(digits) - 1}}}|{'|'.join([*smaller, digits])})$"


ID_PATTERN = _id_pattern()
