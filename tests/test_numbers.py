"""What counts as a whole number: in JSON, and in text."""

import json

import pytest

from orchestrator.core.numbers import refuse_constant, whole, whole_of_text


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1), (9, 9), (5.0, 5), (1e0, 1), (-3, -3), (-0.0, 0), (10**18, 10**18)]
)
def test_a_whole_number_of_json(value: object, number: int) -> None:
    found = whole(value, least=-3, most=10**18)
    assert (found, type(found)) == (number, int)


@pytest.mark.parametrize(
    "value",
    [0, 10, -1, 9.5, 10.0, float("nan"), float("inf"), True, False, None, "5", b"5", [5], {}, 10**400],
)
def test_what_is_not_a_whole_number_of_json_within_bounds(value: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a whole number from 1 to 9$"):
        whole(value, least=1, most=9)


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("007", 7), ("-3", -3), ("0", 0), ("1000000000000000000", 10**18)]
)
def test_a_whole_number_in_digits(text: str, number: int) -> None:
    assert whole_of_text(text, least=-3, most=10**18) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " 5",
        "5 ",
        "5\n",
        "+5",
        "--5",
        "5.0",
        "1e0",
        "1_0",
        "0x5",
        "\u0665",
        "\u00b2",
        "10",
        "0",
        "9" * 5000,
    ],
)
def test_what_is_not_a_whole_number_in_digits_within_bounds(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a whole number from 1 to 9$"):
        whole_of_text(text, least=1, most=9)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_python_alone_takes_for_a_json_number(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text} is not a JSON number$"):
        json.loads(text, parse_constant=refuse_constant)
