"""The fixtures that the tests here share with others."""

from tests.e2e.conftest import stack

__all__ = ["stack"]
