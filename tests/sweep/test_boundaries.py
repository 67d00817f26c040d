"""After which boundaries the sweep kills: where that is not the same as before the next one."""

from tests.sweep.boundaries import met, with_an_after_of_its_own


def test_one_after_the_other() -> None:
    steps = ["before a", "after a", "before b", "after b", "others act", "before c", "after c"]
    assert met(steps) == ["a", "b", "c"]
    assert with_an_after_of_its_own(steps) == ["b", "c"]


def test_calls_that_overlap() -> None:
    steps = ["before a", "before b", "after b", "after a", "before c", "after c"]
    assert met(steps) == ["a", "b", "c"]
    assert with_an_after_of_its_own(steps) == ["b", "c"]
