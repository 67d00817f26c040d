"""One line of what ``check`` says."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one thing that the app needs."""

    #: what was tested
    subject: str
    ok: bool
    #: what was found, or what is wrong and what to do
    text: str
    #: it may be wrong, which only people can tell; ``ok`` all the same
    warning: bool = False
