"""Read single settings and collect what is wrong with them."""

import re
from collections.abc import Mapping

from orchestrator.core.numbers import whole

#: A value that Azure replaces before the app sees it: of Key Vault and of App Configuration. One that cannot
#: be resolved reaches the app as it is written:
#: https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#troubleshoot-key-vault-references
_REFERENCE = re.compile(r"@(?:Microsoft\.KeyVault|Microsoft\.AppConfiguration|AppConfig)\(", re.IGNORECASE)


class Reader:
    """Reads single settings and collects what is wrong with them, to be shown at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        #: what is wrong with values; what concerns one setting alone begins with its name
        self.problems: list[str] = []
        #: what is said of the settings whose value is a reference that Azure has not resolved
        self._references: dict[str, str] = {}
        #: settings that the app does without, since Azure has not resolved what they refer to
        self.unresolved: list[str] = []

    def all_problems(self) -> list[str]:
        """Return what is wrong. Of a reference that is not resolved nothing else is: it is not the value."""
        names = {_as_host_reads(name) for name in self._references}
        others = [each for each in self.problems if _as_host_reads(each.split()[0].rstrip(":")) not in names]
        return [*self._references.values(), *others]

    @property
    def in_azure(self) -> bool:
        """Whether the app runs in Azure, which sets WEBSITE_SITE_NAME on every plan.

        Core Tools sets it, too, but calls its own environment Development.
        """
        return bool(self._environ.get("WEBSITE_SITE_NAME")) and not self.in_core_tools

    @property
    def in_core_tools(self) -> bool:
        """Whether the app runs under Core Tools on a developer's machine."""
        return self._environ.get("AZURE_FUNCTIONS_ENVIRONMENT") == "Development"

    def text(self, name: str) -> str | None:
        """Return a value without the blanks around it. An empty value counts as not set.

        A reference that Azure has not resolved is a problem: its text is not the value.
        """
        text = self._raw(name)
        if text is not None and _REFERENCE.search(text):
            self._references[name] = (
                f"{name} holds a reference that Azure has not resolved: it has to be the whole value, and "
                "the app's identity needs the role Key Vault Secrets User and a way through the vault's "
                "firewall; the portal says what is wrong beside the setting"
            )
        return text

    def text_in_any_case(self, name: str) -> str | None:
        """Return a value that the Functions host reads as well: to it ``A__B``, ``a__b`` and ``A:B`` are one.

        Different values under several spellings are a problem: which one the host takes is not known.
        """
        spelled = [each for each in self._environ if _as_host_reads(each) == _as_host_reads(name)]
        values = {value: each for each in spelled if (value := self.text(each)) is not None}
        if len(values) > 1:
            self.problems.append(f"{' and '.join(sorted(values.values()))} are one setting: keep one of them")
        return next(iter(values), None)

    def optional(self, name: str) -> str | None:
        """Return a value that the app can do without; None also if Azure has not resolved its reference."""
        text = self._raw(name)
        if text is None or not _REFERENCE.search(text):
            return text
        self.unresolved.append(name)
        return None

    def _raw(self, name: str) -> str | None:
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


def _as_host_reads(name: str) -> str:
    """Return one spelling of a setting's name; the host takes ``A__B``, ``a__b`` and ``A:B`` for one."""
    return name.replace(":", "__").lower()
