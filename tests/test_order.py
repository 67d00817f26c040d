"""The order in which the processes of ``make test`` take the tests."""

from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import LONG_SECONDS, MAKE_RUN, _dealt


class _Item:
    """What the order asks a test for."""

    def __init__(self, module: str, seconds: float | None = None, uses: str = "") -> None:
        self.path = Path(module)
        self.seconds = seconds
        self.fixturenames = [uses]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return None if self.seconds is None else pytest.Mark(name, (self.seconds,), {}, _ispytest=True)


def _parts(items: list[_Item], processes: int) -> list[list[_Item]]:
    """Return what each process gets, as pytest-xdist's worksteal divides the list at first."""
    left: list[Any] = _dealt(cast("list[pytest.Item]", items), processes)
    assert sorted(map(id, left)) == sorted(map(id, items)), "a test is lost or doubled"
    parts = []
    for others in range(processes, 0, -1):
        size = len(left) // others
        parts.append(left[:size])
        del left[:size]
    return parts


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_every_process_begins_with_long_tests_and_no_module_of_them_is_divided(processes: int) -> None:
    long = [_Item(f"long {number}", LONG_SECONDS) for number in range(8) for _ in range(3)]
    parts = _parts(long + [_Item("short") for _ in range(101)], processes)
    modules = [{item.path for item in part if item.seconds} for part in parts]
    assert [len(each) for each in modules] == [
        len({*range(number, 8, processes)}) for number in range(processes)
    ]
    assert sum(len(each) for each in modules) == 8
    for part in parts:
        assert [item.seconds is None for item in part] == sorted(item.seconds is None for item in part)


def test_no_test_is_lost_where_almost_all_are_long() -> None:
    _parts([_Item("one", LONG_SECONDS) for _ in range(20)] + [_Item("short")], 4)


def test_tests_that_share_a_make_run_stay_together() -> None:
    sharing = [_Item(f"module {number}", uses=MAKE_RUN) for number in range(5)]
    parts = _parts([_Item("long", LONG_SECONDS), *sharing, *(_Item("short") for _ in range(50))], 4)
    assert next(part for part in parts if not {*sharing}.isdisjoint(part))[:5] == sharing
