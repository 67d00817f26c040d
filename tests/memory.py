"""How much memory Python takes for something, by its own count: exact, and the same on every machine."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

MEGABYTE = 1_000_000


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """Check that Python never held so much more within the block than before it."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < megabytes * MEGABYTE
