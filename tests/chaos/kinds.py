"""The kinds of entries of a chaos run, and the ends that each may have."""

from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.parts import MAX_ATTEMPTS


class Kind(StrEnum):
    """The kinds of entries."""

    PLAIN = "plain"  #: its run succeeds
    FLAKY = "flaky"  #: its first run fails, its second succeeds
    MENDED = "mended"  #: its run fails at first, and succeeds once the app has repaired it
    HOPELESS = "hopeless"  #: every run of it fails
    REPAIRED = "repaired"  #: its run fails for good, and succeeds once a person has repaired it
    CANCELED = "canceled"  #: an operator requests its cancellation, perhaps too late
    RESOLVED = "resolved"  #: an operator settles it by hand, whatever state it is in
    RESTARTED = "restarted"  #: an operator has it run anew, perhaps when its run is over
    RETRIED = "retried"  #: an operator runs it again, if it is over by then
    HANDS = "hands"  #: somebody changes it by SQL, against the app's rules
    INVALID = "invalid"  #: it can never be submitted


#: Entries of each kind per hundred.
SHARES = {
    Kind.PLAIN: 64,
    Kind.FLAKY: 4,
    Kind.MENDED: 5,
    Kind.HOPELESS: 3,
    Kind.REPAIRED: 3,
    Kind.CANCELED: 6,
    Kind.RESOLVED: 4,
    Kind.RESTARTED: 2,
    Kind.RETRIED: 2,
    Kind.HANDS: 4,
    Kind.INVALID: 3,
}


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How entries of a kind may end."""

    statuses: frozenset[str]
    #: how many runs they may have
    runs: range
    #: how many repairs these may have
    repairs: range = range(1)


ENDS = {
    Kind.PLAIN: Ends(statuses=frozenset({"DONE"}), runs=range(1, 2)),
    Kind.FLAKY: Ends(statuses=frozenset({"DONE"}), runs=range(2, 3)),
    Kind.MENDED: Ends(statuses=frozenset({"DONE"}), runs=range(1, 2), repairs=range(1, 2)),
    Kind.HOPELESS: Ends(statuses=frozenset({"DEAD"}), runs=range(MAX_ATTEMPTS, MAX_ATTEMPTS + 1)),
    # A repaired run may be over before any pass has seen it active, while a host is away.
    Kind.REPAIRED: Ends(statuses=frozenset({"DONE", "DEAD"}), runs=range(1, 2), repairs=range(2)),
    Kind.CANCELED: Ends(statuses=frozenset({"CANCELED", "DONE"}), runs=range(2)),
    Kind.RESOLVED: Ends(statuses=frozenset({"DONE", "DEAD", "CANCELED"}), runs=range(2)),
    Kind.RESTARTED: Ends(statuses=frozenset({"DONE"}), runs=range(1, 3)),
    Kind.RETRIED: Ends(statuses=frozenset({"DONE"}), runs=range(1, 3)),
    # It may be set to CANCELED before it has a run, or to PENDING after one.
    Kind.HANDS: Ends(statuses=frozenset({"DONE", "CANCELED"}), runs=range(3)),
    Kind.INVALID: Ends(statuses=frozenset({"DEAD"}), runs=range(1)),
}
