"""A search over the rows: which window of an index it looks at, and the conditions on what is in it. Pure.

Statements are put together from the named blocks of ``reports.sql`` and the fragments below; every value is
bound.
"""

import functools
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.adapters.store import dialects, queries
from orchestrator.core.numbers import MAX_ID, MIN_ID
from orchestrator.core.search import FIRST, EntryFilter, Key, Sort, time_text
from orchestrator.core.states import NoStatus, Status

#: Behind every change of an entry.
_LAST = time_text(datetime.max.replace(tzinfo=UTC))

_ORDERS = {
    Sort.NEWEST: "ORDER BY reached.id DESC",
    Sort.OLDEST: "ORDER BY reached.id ASC",
    Sort.LAST_CHANGED: "ORDER BY reached.updated_at DESC, reached.id DESC",
    Sort.FIRST_CHANGED: "ORDER BY reached.updated_at ASC, reached.id ASC",
}

#: Rows behind a place, for a window whose index does not keep the order.
_BEHIND = {
    Sort.NEWEST: "AND entry.id < ?",
    Sort.OLDEST: "AND entry.id > ?",
    Sort.LAST_CHANGED: ("AND entry.updated_at <= {time ?} AND (entry.updated_at < {time ?} OR entry.id < ?)"),
    Sort.FIRST_CHANGED: (
        "AND entry.updated_at >= {time ?} AND (entry.updated_at > {time ?} OR entry.id > ?)"
    ),
}

#: Windows that are read whole, since no index has them in the order of a search: what is named, and what
#: health counts each time.
_UNORDERED = frozenset({"ids", "run", "without_status"})

#: Rows whose status is none of the states.
_STATES = ", ".join(f"'{state}'" for state in Status)
_WITHOUT_STATUS = f"(entry.status NOT IN ({_STATES}) OR entry.status IS NULL)"

#: Rows that a run belongs to, now or earlier.
_OF_RUN = (
    "AND (entry.runid = ? OR entry.id IN"
    " (SELECT settled.entry_id FROM process_log AS settled WHERE settled.runid = ?))"
)

#: Rows whose run succeeded although tasks of it failed, and all others.
_WITH_FAILURES = {
    True: "AND entry.status = 'DONE' AND entry.last_error IS NOT NULL",
    False: "AND (entry.status <> 'DONE' OR entry.last_error IS NULL)",
}

_ESCAPE = "\\"

#: A fragment as a dialect says it.
_render = functools.cache(dialects.render)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """SQL and the values of its parameters."""

    sql: str
    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search from one place on.

    :param after: the place; None = from the beginning.
    """

    dialect: str
    wanted: EntryFilter
    sort: Sort
    after: Key | None = None

    def behind(self, after: Key) -> "Search":
        """Return the same search, continued after another place."""
        return replace(self, after=after)

    def is_plain(self) -> bool:
        """Say whether every entry of a window is wanted."""
        return not self._conditions()

    def entries(self, *, window: int, limit: int, parameters: bool = False) -> Statement:
        """Select at most `limit` wanted entries among the first `window` entries.

        :param parameters: read the entries' parameters, too.
        """
        conditions = self._conditions()
        reached = self._reached(window)
        return Statement(
            sql="\n".join(
                [
                    reached.sql,
                    self._block("whole_entries_of_window" if parameters else "entries_of_window"),
                    *(sql for sql, _ in conditions),
                    _ORDERS[self.sort],
                    _render("{page}", self.dialect),
                ]
            ),
            values=(
                *reached.values,
                *(value for _, values in conditions for value in values),
                0,
                limit,
            ),
        )

    def end(self, *, window: int) -> Statement:
        """Select the key of entry number `window`; nothing if there are fewer."""
        reached = self._reached(window)
        return Statement(
            sql="\n".join(
                [
                    reached.sql,
                    self._block("keys_of_window"),
                    _ORDERS[self.sort],
                    _render("{page}", self.dialect),
                ]
            ),
            values=(*reached.values, window - 1, 1),
        )

    def _block(self, name: str) -> str:
        return queries.load(self.dialect)[name].sql

    def _reached(self, window: int) -> Statement:
        """Return the window as a common table expression, the first part of a statement."""
        windows = [self._window(by, window) for by in self._indexes()]
        if len(windows) == 1:
            return Statement(sql=f"WITH reached AS (\n{windows[0].sql}\n)", values=windows[0].values)
        parts = "\nUNION ALL\n".join(
            f"SELECT part{number}.id, part{number}.updated_at"  # noqa: S608 - a number, and a named block
            f" FROM (\n{each.sql}\n) AS part{number}"
            for number, each in enumerate(windows)
        )
        # The first `window` of each contain the first `window` of all.
        order = _ORDERS[self.sort].replace("reached.", "parts.")
        sql = "\n".join(
            (
                "SELECT parts.id, parts.updated_at FROM (",
                parts,
                ") AS parts",
                order,
                _render("{page}", self.dialect),
            )
        )
        values = (*(value for each in windows for value in each.values), 0, window)
        return Statement(sql=f"WITH reached AS (\n{sql}\n)", values=values)

    def _indexes(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the narrowest windows that fit, each with its first values."""
        wanted = self.wanted
        if wanted.ids:
            return [("ids", tuple(sorted(wanted.ids)))]
        if wanted.run_id is not None:
            return [("run", (wanted.run_id, wanted.run_id))]
        if wanted.states == {NoStatus.UNREADABLE}:
            return [("without_status", ())]
        if self.sort.by_id:
            return [("id", ())]
        if self._is_exact():
            return [("table", (wanted.table,))]
        states = sorted(wanted.states) or ([Status.DONE] if wanted.with_failures else [])
        return [
            ("without_status", ()) if isinstance(state, NoStatus) else ("status", (state.value,))
            for state in states
        ] or [("changed", ())]

    def _is_exact(self) -> bool:
        return self.wanted.table is not None and "*" not in self.wanted.table

    def _window(self, by: tuple[str, tuple[Any, ...]], window: int) -> Statement:
        name, first = by
        if name in _UNORDERED:
            return self._sorted(name, first, window)
        block = self._block(f"window_{name}_{'desc' if self.sort.descending else 'asc'}")
        if name == "id":
            return Statement(sql=block, values=(self._start().id, window))
        start = self._start()
        since, until = self.wanted.since, self.wanted.until
        least = FIRST if since is None else time_text(since)
        most = _LAST if until is None else time_text(until)
        # Where the index is entered: at the place, unless the filter begins behind it.
        if self.sort.descending and (until is None or start.time <= until):
            most = start.updated_at
        elif not self.sort.descending and (since is None or start.time >= since):
            least = start.updated_at
        return Statement(sql=block, values=(*first, least, most, start.updated_at, start.id, window))

    def _sorted(self, name: str, values: tuple[Any, ...], window: int) -> Statement:
        """Return the first `window` of rows that come in no order, from the place on and within the times."""
        block = self._block(f"window_{name}")
        if name == "ids":
            block += f"\nAND id IN ({', '.join('?' * len(values))})"
        narrowed = [*self._time_conditions(), *self._behind()]
        sql = [
            "SELECT found.id, found.updated_at FROM (",
            block,
            ") AS found",
            "WHERE 1 = 1",
            *(condition.replace("entry.", "found.") for condition, _ in narrowed),
            _ORDERS[self.sort].replace("reached.", "found."),
            _render("{page}", self.dialect),
        ]
        bound = (value for _, values in narrowed for value in values)
        return Statement(sql="\n".join(sql), values=(*values, *bound, 0, window))

    def _start(self) -> Key:
        """Return the place to start behind."""
        if self.after is not None:
            return self.after
        if self.sort.descending:
            return Key(id=MAX_ID, updated_at=_LAST)
        return Key(id=MIN_ID - 1, updated_at=FIRST)

    def _conditions(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return what the window's index does not see to already."""
        wanted = self.wanted
        [(index, _), *_] = self._indexes()
        found = self._state_conditions(index)
        if wanted.table is not None and index != "table":
            found.append(self._table_condition(wanted.table))
        if wanted.workspace is not None:
            found.append(("AND entry.workspace = ?", (wanted.workspace,)))
        if wanted.error is not None:
            pattern = f"%{_literal(wanted.error)}%"
            found.append((f"AND UPPER(entry.last_error) LIKE UPPER(?) ESCAPE '{_ESCAPE}'", (pattern,)))
        if wanted.run_id is not None and index != "run":
            found.append((_OF_RUN, (wanted.run_id, wanted.run_id)))
        if index == "id":
            found += self._time_conditions()
        return found

    def _state_conditions(self, index: str) -> list[tuple[str, tuple[Any, ...]]]:
        states = sorted(state.value for state in self.wanted.states if isinstance(state, Status))
        found: list[tuple[str, tuple[Any, ...]]] = []
        if self.wanted.states and index not in {"status", "without_status"}:
            places = f"entry.status IN ({', '.join('?' * len(states))})"
            allowed = [
                *([places] if states else []),
                *([_WITHOUT_STATUS] if NoStatus.UNREADABLE in self.wanted.states else []),
            ]
            found.append((f"AND ({' OR '.join(allowed)})", tuple(states)))
        if self.wanted.with_failures is not None:
            found.append((_WITH_FAILURES[self.wanted.with_failures], ()))
        return found

    def _table_condition(self, table: str) -> tuple[str, tuple[Any, ...]]:
        if self._is_exact():
            return "AND entry.table_name = ?", (table,)
        pattern = "%".join(_literal(part) for part in table.split("*"))
        return f"AND entry.table_name LIKE ? ESCAPE '{_ESCAPE}'", (pattern,)

    def _time_conditions(self) -> list[tuple[str, tuple[Any, ...]]]:
        found: list[tuple[str, tuple[Any, ...]]] = []
        bounds = (
            ("AND entry.updated_at >= {time ?}", self.wanted.since),
            ("AND entry.updated_at <= {time ?}", self.wanted.until),
        )
        for sql, bound in bounds:
            if bound is not None:
                found.append((_render(sql, self.dialect), (time_text(bound),)))
        return found

    def _behind(self) -> list[tuple[str, tuple[Any, ...]]]:
        if self.after is None:
            return []
        changed = self.after.updated_at
        values = (self.after.id,) if self.sort.by_id else (changed, changed, self.after.id)
        return [(_render(_BEHIND[self.sort], self.dialect), values)]


def _literal(text: str) -> str:
    """Return a text so that LIKE takes it to the letter."""
    for special in (_ESCAPE, "%", "_", "["):
        text = text.replace(special, _ESCAPE + special)
    return text
