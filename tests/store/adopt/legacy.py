"""A team's table full of rows."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.store import adopt, migrate
from orchestrator.adapters.store.adopt import Adoption, Report
from orchestrator.core.states import Status
from tests.store.conftest import Database

#: word, whether there is a run, number of rows, state after the adoption
WORDS: tuple[tuple[str | None, bool, int, Status], ...] = (
    (None, False, 20, Status.PENDING),
    ("", False, 10, Status.PENDING),
    ("NEW", False, 300, Status.PENDING),
    ("Waiting", False, 30, Status.PENDING),
    ("ready", False, 30, Status.PENDING),
    ("QUEUED", False, 15, Status.PENDING),
    ("SUBMITTED", True, 15, Status.RUNNING),
    ("RUNNING", True, 25, Status.RUNNING),
    ("In Progress", True, 5, Status.RUNNING),
    ("DONE", True, 1000, Status.DONE),
    ("Success", True, 1000, Status.DONE),
    ("SUCCEEDED", False, 250, Status.DONE),
    ("FAILED", True, 200, Status.DEAD),
    ("ERROR", True, 50, Status.DEAD),
    ("Cancelled", True, 50, Status.CANCELED),
)


LEGACY = {
    "sqlite": (
        # With a view, a trigger and a table that refers to it.
        "CREATE TABLE TRACK_PROCESSING ("
        " TRACK_ID INTEGER PRIMARY KEY AUTOINCREMENT, -- the team's key, and a comment with a (\n"
        " SOURCE_TABLE nvarchar(128) NOT NULL COLLATE NOCASE,"
        " STATUS varchar(20) DEFAULT 'NEW', RUNID varchar(30),"
        " LOAD_DATE datetime DEFAULT CURRENT_TIMESTAMP, PAYLOAD nvarchar(4000),"
        " [odd, (name)] int CHECK ([odd, (name)] >= 0), UNIQUE (TRACK_ID, LOAD_DATE))",
        "CREATE INDEX IX_TEAM_STATUS ON TRACK_PROCESSING (STATUS, LOAD_DATE)",
        "CREATE TABLE audit (what text)",
        "CREATE TRIGGER TR_TEAM AFTER INSERT ON TRACK_PROCESSING"
        " BEGIN INSERT INTO audit VALUES (new.SOURCE_TABLE); END",
        "CREATE VIEW team_view AS SELECT SOURCE_TABLE, STATUS FROM TRACK_PROCESSING",
        "CREATE TABLE team_notes (track_id INTEGER REFERENCES TRACK_PROCESSING (TRACK_ID), note text)",
    ),
    "sqlserver": (
        "CREATE TABLE track_processing ("
        " TRACK_ID int IDENTITY(1, 1) NOT NULL CONSTRAINT PK_TEAM PRIMARY KEY,"
        " SOURCE_TABLE nvarchar(128) NOT NULL,"
        " STATUS varchar(20) CONSTRAINT DF_TEAM_STATUS DEFAULT 'NEW', RUNID varchar(30),"
        " LOAD_DATE datetime CONSTRAINT DF_TEAM_LOAD_DATE DEFAULT GETDATE(), PAYLOAD nvarchar(max),"
        " [odd, (name)] int)",
        "CREATE INDEX IX_TEAM_STATUS ON track_processing (STATUS, LOAD_DATE)",
    ),
}


TEAM = Adoption(table_name_column="source_table", parameters_column="Payload")


EXTRAS = "TRACK_ID, SOURCE_TABLE, LOAD_DATE, PAYLOAD"


@dataclass(frozen=True, kw_only=True)
class Legacy:
    """A database with a team's table, and the table's contents before the adoption."""

    database: Database
    extras: list[tuple[Any, ...]]

    def adopt(self, adoption: Adoption = TEAM) -> Report:
        """Adopt the table and apply the later migrations, as ``init-db --adopt`` does."""
        report = adopt.apply(self.database.connector, adoption)
        migrate.apply(self.database.connector)
        return report

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.database.execute(sql, *parameters)


def fill(database: Database) -> None:
    """Insert the team's rows as literals: a driver is slow to describe thousands of parameters."""
    rows: list[str] = []
    for word, has_run, count, _ in WORDS:
        status = "NULL" if word is None else f"'{word}'"
        for number in range(len(rows) + 1, len(rows) + count + 1):
            run = f"'{10**14 + number}'" if has_run else "NULL"
            rows.append(f"('table_{number}', {status}, {run}, '{{\"n\": \"{number}\"}}')")
    for start in range(0, len(rows), 1000):
        database.execute(
            "INSERT INTO track_processing (SOURCE_TABLE, STATUS, RUNID, PAYLOAD) VALUES "
            + ", ".join(rows[start : start + 1000])
        )


def expected() -> dict[Status, int]:
    counts: Counter[Status] = Counter()
    for _, _, count, status in WORDS:
        counts[status] += count
    return dict(counts)


def shape(database: Database) -> dict[str, tuple[Any, ...]]:
    """Return type, default and nullability of each column, from the catalogue."""
    if database.connector.dialect == "sqlite":
        rows = database.execute(
            "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_xinfo('track_processing')"
        )
    else:
        rows = database.execute(
            "SELECT column_name, data_type, character_maximum_length, datetime_precision, is_nullable,"
            " column_default FROM information_schema.columns WHERE table_name = 'track_processing'"
        )
    return {row[0].lower(): row[1:] for row in rows}


def contents(legacy: Legacy) -> tuple[Any, ...]:
    """Return the table's columns and rows."""
    return shape(legacy.database), legacy.execute("SELECT * FROM track_processing ORDER BY TRACK_ID")
