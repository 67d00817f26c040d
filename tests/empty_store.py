"""An empty SQLite store: migrated once for a test process, then copied."""

import functools
import tempfile
from pathlib import Path

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector


def make_empty_store(file: Path) -> Path:
    """Create a store with the newest schema and no entries, as ``init-db`` does, and return its file."""
    file.write_bytes(_migrated())
    return file


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        migrate.apply(SqliteConnector(file, create=True))
        return file.read_bytes()  # whole: the last connection has emptied the write-ahead log
