"""What an operator does to one entry, by the app's own statements: retry, restart, resolve."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from orchestrator.adapters.store.records import NO_LIMIT, log_values, read_entry
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.models import Entry, LogRow
from orchestrator.core.states import Status

#: The entry may be in any state and at any submission.
_ANYTHING = (0, NO_LIMIT, *Status)


class Operator:
    """An operator at a database that holds the :data:`tests.invariants.AUDIT`, which names the action.

    Each action is one transaction, so it is done or not done.
    """

    def __init__(self, connector: SqliteConnector) -> None:
        self._connector = connector

    def retry(self, entry_id: int, mode: str | None = None) -> bool:
        """Run an entry again; say whether it was changed.

        :param mode: ``run`` or ``repair``; None = as the entry says.
        """
        with self._acting("retry") as session:
            return any(session.change(name, mode, entry_id, *_ANYTHING) for name in ("retry", "retry_now"))

    def restart(self, entry_id: int) -> bool:
        """Have the live run of an entry cancelled and another one begun; say whether there is a live run."""
        with self._acting("restart") as session:
            return session.change("restart", None, entry_id, *_ANYTHING) == 1

    def resolve(self, entry_id: int, to: Status) -> Entry | None:
        """Settle an entry by hand, so that its runs are let go; None = it is in that state already."""
        with self._acting("resolve") as session:
            rows = session.rows("resolve", to, "by hand", entry_id, to, *_ANYTHING)
            if not rows:
                return None
            entry = read_entry(rows[0])
            log = LogRow(
                entry_id=entry.id,
                submission=entry.submission,
                attempt=entry.attempt,
                status=to,
                message="by hand",
            )
            session.change("insert_log", *log_values(log))
            return entry

    @contextmanager
    def _acting(self, action: str) -> Iterator[Session]:
        with closing(self._connector.connect().connection) as connection:
            self._connector.begin_write(connection)
            cursor = connection.cursor()
            cursor.execute("SELECT COALESCE(MAX(rowid), 0) FROM audit")
            [(before,)] = cursor.fetchall()
            yield Session(connection, self._connector)
            cursor.execute("UPDATE audit SET action = ? WHERE rowid > ?", (action, before))
            connection.commit()
