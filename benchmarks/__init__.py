"""Measurements behind figures in the docs; run by hand, ``python -m benchmarks.NAME``."""
