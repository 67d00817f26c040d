"""Read single settings and collect what is wrong with them."""

from collections.abc import Mapping

from orchestrator.core.numbers import whole


class Reader:
    """Reads single settings and collects in :attr:`problems` what is wrong with them, to be shown at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    @property
    def in_azure(self) -> bool:
        """Whether the app runs in Azure, which sets WEBSITE_SITE_NAME on every plan.

        Core Tools sets it, too, but calls its own environment Development.
        """
        has_site = bool(self._environ.get("WEBSITE_SITE_NAME"))
        return has_site and self._environ.get("AZURE_FUNCTIONS_ENVIRONMENT") != "Development"

    def text(self, name: str) -> str | None:
        """Return a value without the blanks around it. An empty value counts as not set."""
        return self._environ.get(name, "").strip() or None

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """Return a number. One that is out of bounds is a problem, and the default is returned."""
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
        """Return a whole number. See :meth:`number`."""
        value = self.number(name, default, least=least, most=most)
        try:
            return whole(value, least=least, most=most)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        text = (self.text(name) or str(default)).lower()
        if text not in {"true", "false", "1", "0"}:
            self.problems.append(f"{name} must be true or false")
        return text in {"true", "1"}
