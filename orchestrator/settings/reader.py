"""Reads single settings and collects what is wrong with them."""

from collections.abc import Mapping


class Reader:
    """Reads single values and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        """Return a value without blanks around it; an empty one counts as not set."""
        return self.environ.get(name, "").strip() or None

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """Return a number. What is out of its bounds is a problem, and the default stands in."""
        text = self.text(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            self.problems.append(f"{name} must be a number from {least:,g} to {most:,.0f}")
            return default
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number; see :meth:`number`."""
        value = self.number(name, default, least=least, most=most)
        if value != int(value):
            self.problems.append(f"{name} must be a whole number")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        text = (self.text(name) or str(default)).lower()
        if text not in {"true", "false", "1", "0"}:
            self.problems.append(f"{name} must be true or false")
        return text in {"true", "1"}
