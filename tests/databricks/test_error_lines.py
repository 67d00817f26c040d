"""Which lines of a trace or of standard output say what went wrong."""

import time

import pytest

from orchestrator.adapters.databricks.error_lines import error_in

TRACEBACK = "Traceback (most recent call last)"


@pytest.mark.parametrize(
    "repeated", ["error", "error ", "a.b.", "x", f"{TRACEBACK}\n", "error\n", "x: ", "  \n", " at ", "\n"]
)
def test_a_long_text_is_read_in_no_time(repeated: str) -> None:
    text = repeated * (5 * 1024 * 1024 // len(repeated))
    began = time.thread_time()
    error_in(text)
    assert time.thread_time() - began < 1  # commonly less than a hundredth


def test_a_text_that_is_cut_says_so() -> None:
    assert error_in("a" * 30_000) == "…" + "a" * 20_000
