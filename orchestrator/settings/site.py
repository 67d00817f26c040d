"""Read how the Functions host tells this app, and each of its deployment slots, from others."""

from dataclasses import dataclass

from orchestrator.settings.reader import Reader

#: The functions that work by themselves, as Azure lists them.
_FUNCTIONS = ("trigger", "submit", "monitor")

#: Longest id of a host. https://learn.microsoft.com/azure/azure-functions/storage-considerations#host-id-considerations
_LONGEST_HOST_ID = 32


@dataclass(frozen=True, kw_only=True)
class Site:
    """The function app, or one of its deployment slots, that this process belongs to."""

    name: str
    #: None = production
    slot: str | None
    #: what AzureFunctionsWebHost__hostid says; None = the host makes its id of the name
    host_id: str | None
    #: the host's id is the beginning of the name; on Flex Consumption it is a hash of the whole
    cuts_names: bool
    #: functions that are not disabled
    enabled: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """Its name with that of the slot."""
        return (self.name if self.slot is None else f"{self.name}-{self.slot}").lower()

    @property
    def is_cut(self) -> bool:
        """Whether the id that the host makes of the name lacks some of it."""
        return self.host_id is None and self.cuts_names and len(self.full_name) > _LONGEST_HOST_ID


def beginning(name: str) -> str:
    """Return the id that the host makes of a name."""
    return name.lower()[:_LONGEST_HOST_ID].rstrip("-")


def read_site(reader: Reader) -> Site | None:
    """Return the function app, or None outside of Azure."""
    name, slot = reader.text("WEBSITE_SITE_NAME"), reader.text("WEBSITE_SLOT_NAME")
    if (name is None and slot is None) or reader.in_core_tools:
        return None
    return Site(
        name=name or "",
        slot=None if slot is None or slot.lower() == "production" else slot,
        host_id=reader.text_in_any_case("AzureFunctionsWebHost__hostid"),
        cuts_names=reader.text("WEBSITE_SKU") != "FlexConsumption",
        enabled=tuple(each for each in _FUNCTIONS if not is_disabled(reader, each)),
    )


def is_disabled(reader: Reader, function: str) -> bool:
    """Say whether ``AzureWebJobs.NAME.Disabled`` is set; where names have no dots it is written otherwise."""
    texts = (
        reader.text_in_any_case(separator.join(("AzureWebJobs", function, "Disabled")))
        for separator in (".", "_", "__")
    )
    return any(text is not None and text.lower() in {"true", "1"} for text in texts)
