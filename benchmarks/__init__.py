"""Measurements behind the figures in the docs: ``make bench``, or ``python -m benchmarks.NAME``."""
