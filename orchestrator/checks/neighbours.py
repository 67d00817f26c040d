"""What can be seen of another app, or another slot of this one, that gets in the way.

Nothing tells which settings another slot has, or which apps share a Storage account: most are warnings.
"""

from collections.abc import Iterator

from orchestrator.checks.finding import Finding
from orchestrator.settings.site import Site, beginning

_DOCUMENT = "docs/deploy.md#deployment-slots"

_SETTING = "AzureFunctionsWebHost__hostid"

_REMEDY = (
    f"set {_SETTING}, as a slot setting, to at most 32 lower-case letters, digits and hyphens; {_DOCUMENT}"
)


def findings(site: Site | None) -> Iterator[Finding]:
    """Yield what people should know of the slot and of the host's id, if there is something."""
    if site is None:
        return
    if site.slot is not None and site.enabled:
        yield _slot(site.slot, site.enabled)
    if site.slot is not None and site.host_id is not None:
        text = f"{_SETTING} must be a slot setting: of two slots with one id, one has no timers; {_DOCUMENT}"
        yield _host_id(text, warning=True)
    elif site.is_cut:
        yield _cut_id(site)


def _slot(slot: str, enabled: tuple[str, ...]) -> Finding:
    text = (
        f"{slot} runs {', '.join(enabled)} beside production: with production's database and queue it works "
        "on production's entries; give it its own, as slot settings, or disable these functions there; "
        f"{_DOCUMENT}"
    )
    return Finding(subject="function app, deployment slot", ok=True, text=text, warning=True)


def _cut_id(site: Site) -> Finding:
    """Say what follows from an id that is only the beginning of the name."""
    host_id = beginning(site.full_name)
    if site.slot is not None and host_id == beginning(site.name):
        text = f"{host_id} is production's, too, the slot's name being cut off: one of them stops; {_REMEDY}"
        return _host_id(text, warning=False)
    text = (
        f"{host_id} is only the beginning of the name: with an app or slot on the same Storage account whose "
        f"name begins alike, one of the two stops; {_REMEDY}"
    )
    return _host_id(text, warning=True)


def _host_id(text: str, *, warning: bool) -> Finding:
    return Finding(subject="function app, host id", ok=warning, text=text, warning=warning)
