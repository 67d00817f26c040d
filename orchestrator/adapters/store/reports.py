"""Searches and summaries for operators, by named SQL; each reads a bounded number of rows by an index."""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.adapters.store.connector import as_utc
from orchestrator.adapters.store.holds import refused_in, tries_of
from orchestrator.adapters.store.obstacles import held_by_alive, held_by_running, left_open, obstacles_of
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import (
    NO_LIMIT,
    read_entry,
    read_job_key,
    read_log_row,
    read_status,
    read_stray,
    read_time,
    rooms_json,
)
from orchestrator.adapters.store.search import Search, Statement
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.workspaces import elsewhere_of, open_workspaces_of
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.durations import USUAL_OF, Duration, is_overdue, usual_seconds
from orchestrator.core.health import Trouble, Troubled, runs_in_trouble, trouble_of_run
from orchestrator.core.models import ActiveRun, Entry, JobKey, StrayRun
from orchestrator.core.reports import (
    HOURLY_UP_TO,
    MAX_COUNTED,
    Bucket,
    History,
    JobUse,
    OpenWorkspace,
    Period,
    Silence,
    Story,
    TableReport,
    Tables,
    TimedEntry,
    WorkspaceReport,
)
from orchestrator.core.search import (
    DEFAULT_RUNS,
    FIRST,
    MAX_EXAMINED,
    MAX_WHOLE,
    EntryFilter,
    EntryPage,
    Key,
    Matching,
    Sort,
    cursor,
    read_cursor,
)
from orchestrator.core.slots import NO_OBSTACLES, Obstacles
from orchestrator.core.states import Status
from orchestrator.core.time_limits import QUEUE_TAKES
from orchestrator.core.waiting import Candidate, Candidates

#: Entries that a search examines per step: most pages are full after the first.
_WINDOWS = (500, 4_500, MAX_EXAMINED - 5_000)

#: Entries of a source table among which its last successes are looked for, last changed first.
_RECENT = 300

#: A call of ``run-now`` that began earlier is over: its repetitions take less than this.
_CALL_SECONDS = 120.0

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

#: Pages that a search for entries to change reads at most.
_MATCHING_ROUNDS = 10


class Reports:
    """Reads the entries and their log. Every method may raise :class:`~orchestrator.core.errors.StoreError`.

    :param pool: the connections; may be shared with a store.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def entries(
        self,
        wanted: EntryFilter,
        *,
        sort: Sort = Sort.LAST_CHANGED,
        limit: int = 50,
        after: str | None = None,
        parameters: bool = False,
    ) -> EntryPage:
        """Return a page of entries.

        :param after: ``next`` of the previous page.
        :param parameters: read the entries' parameters, too, of 50 entries at most.
        :raises InvalidCursor: it is not a cursor of this sort order.
        """
        start = read_cursor(after, sort) if after is not None else None

        def work(session: Session) -> EntryPage:
            search = Search(dialect=session.dialect, wanted=wanted, sort=sort, after=start)
            return _page(session, search, min(limit, MAX_WHOLE) if parameters else limit, parameters)

        return await self._pool.transact(work, writes=False)

    async def story(
        self,
        entry_id: int,
        *,
        parameters: bool = False,
        runs: int = DEFAULT_RUNS,
        before: int | None = None,
    ) -> Story | None:
        """Return an entry with its last settled submissions, or None.

        :param parameters: read its parameters, too.
        :param runs: at most so many submissions, up to :data:`~orchestrator.core.search.MAX_RUNS`.
        :param before: only submissions before this one.
        """
        last = NO_LIMIT if before is None else before - 1

        def work(session: Session) -> Story | None:
            rows = session.rows("get_entry" if parameters else "find_entry", entry_id)
            if not rows:
                return None
            entry = read_entry(rows[0])
            logs = [read_log_row(row) for row in session.rows("logs_of_entry", entry_id, last, runs + 1)]
            return Story(
                entry=entry,
                logs=logs[:runs][::-1],
                earlier_before=logs[runs - 1].submission if len(logs) > runs else None,
                usual_seconds=_usual_seconds(session, entry.workspace, entry.table_name),
                now=_now(session),
            )

        return await self._pool.transact(work, writes=False)

    async def status(self, *, listed: Period | None = None) -> list[WorkspaceReport]:
        """Return the counts of each workspace that has open entries or some that ended in the last day.

        :param listed: when the active runs were listed; also return what belonged to an entry then.
        """
        return await self._pool.transact(lambda session: _status(session, listed), writes=False)

    async def silences(self, *, passes: int, seconds: float) -> list[Silence]:
        """Return the workspaces that have answered neither for `seconds` nor in the last `passes` passes."""

        def work(session: Session) -> list[Silence]:
            before = session.now() - timedelta(seconds=seconds)
            return [
                Silence(workspace=row["workspace"], since=read_time(row["since"]), problem=row["problem"])
                for row in session.rows("silences", passes, before)
            ]

        return await self._pool.transact(work, writes=False)

    async def open_workspaces(self) -> list[OpenWorkspace]:
        """Return the workspaces that open entries name, configured or not."""
        return await self._pool.transact(open_workspaces_of, writes=False)

    async def candidates(self, workspace: str, limit: int, held: Collection[str] = ()) -> Candidates:
        """Return at most `limit` waiting entries, in the order of the claim.

        :param held: tables that something holds.
        """

        def work(session: Session) -> Candidates:
            now = _now(session)
            rows = session.rows("waiting", workspace, limit)
            ids = json.dumps([row["id"] for row in rows])
            tables = {row["id"]: row for row in session.rows("tables_of", json.dumps(sorted(held)), ids)}
            found = [
                Candidate(
                    table_busy=bool(row.pop("is_busy")),
                    table=tables[row["id"]]["number_of_table"],
                    table_held=bool(tables[row["id"]]["is_held"]),
                    entry=read_entry(row),
                )
                for row in rows
                if row["id"] in tables  # unless it was deleted meanwhile
            ]
            return Candidates(candidates=found, now=now)

        return await self._pool.transact(work, writes=False)

    async def waiting_jobs(self, workspace: str) -> list[JobUse]:
        """Return which jobs the waiting entries of a workspace name, those of most entries first."""
        rows = await self._pool.transact(
            lambda session: session.rows("waiting_jobs", workspace), writes=False
        )
        return [
            JobUse(
                key=read_job_key(row),
                parameter_style=row["parameter_style"],
                entries=int(row["entries"]),
            )
            for row in rows
        ]

    async def is_overdue(
        self,
        workspace: str,
        *,
        seconds: float,
        max_attempts: int,
        serialize_tables: bool,
        obstacles: Obstacles = NO_OBSTACLES,
    ) -> bool:
        """Say whether an entry has been claimable for `seconds`, given a free slot."""
        tables = sorted(obstacles.held_tables) if serialize_tables else []

        def work(session: Session) -> bool:
            rows = session.rows(
                "overdue",
                rooms_json(obstacles.rooms),
                workspace,
                _now(session) - timedelta(seconds=seconds),
                max_attempts or NO_LIMIT,
                int(serialize_tables),
                json.dumps(sorted(obstacles.alive_entries)),
                json.dumps(tables),
                json.dumps(sorted(obstacles.finders)),
            )
            return bool(rows)

        return await self._pool.transact(work, writes=False)

    async def elsewhere(self, workspace: str, address: str) -> Elsewhere | None:
        """Return what a workspace has open at another address, or None."""
        return await self._pool.transact(
            lambda session: elsewhere_of(session, workspace, address), writes=False
        )

    async def obstacles(
        self, workspace: str, foreign: Collection[ActiveRun], *, address: str = ""
    ) -> Obstacles:
        """Return what the active runs of no entry in flight keep from being claimed, without jobs' rooms.

        :param address: where the workspace is that has these runs.
        """
        return await self._pool.transact(
            lambda session: obstacles_of(session, workspace, foreign, address), writes=False
        )

    async def left_open(self) -> set[str]:
        """Return the workspaces with entries that ended in doubt lately."""
        return await self._pool.transact(left_open, writes=False)

    async def held_by_running(self) -> list[Troubled]:
        """Return the tables whose entries wait for hours behind a RUNNING entry.

        A run that takes as long as those of its table usually do is no trouble.
        """

        def work(session: Session) -> list[Troubled]:
            now = _now(session)

            def is_usual(holder: Entry) -> bool:
                usual = _usual_seconds(session, holder.workspace, holder.table_name)
                return usual is not None and not is_overdue(holder, usual, now)

            return [held for held, holder in held_by_running(session) if not is_usual(holder)]

        return await self._pool.transact(work, writes=False)

    async def held_by_alive(self, workspace: str, obstacles: Obstacles) -> list[Troubled]:
        """Return the tables whose entries wait for hours behind an active run of no entry in flight."""
        return await self._pool.transact(
            lambda session: held_by_alive(session, workspace, obstacles), writes=False
        )

    async def troubled(self, *, queued_seconds: float) -> list[Troubled]:
        """Return what is wrong with entries that the app cannot bring on by itself.

        :param queued_seconds: an entry may be QUEUED for this long.
        """
        return await self._pool.transact(lambda session: _troubled(session, queued_seconds), writes=False)

    async def ownerless_runs(self) -> list[StrayRun]:
        """Return the runs of deleted entries that cannot be cancelled, oldest first."""
        rows = await self._pool.transact(lambda session: session.rows("ownerless_strays"), writes=False)
        return [read_stray(row) for row in rows]

    async def refused(self, workspace: str, *, setting: str, address: str) -> list[Troubled]:
        """Return which entries of a workspace wait since their job is refused for no fault of theirs.

        :param setting: the workspace's own job (:func:`~orchestrator.core.refused_jobs.setting_of`).
        :param address: where the workspace is.
        """
        return await self._pool.transact(
            lambda session: refused_in(session, workspace, setting, address), writes=False
        )

    async def tries(self, workspace: str, *, setting: str, address: str) -> dict[JobKey, int]:
        """Return of each job of a workspace that is refused how many of its entries may try now."""

        def work(session: Session) -> dict[JobKey, int]:
            in_flight = session.rows("in_flight", workspace)
            return tries_of(session, workspace, setting, address, in_flight)

        return await self._pool.transact(work, writes=False)

    async def long_runs(self, *, seconds: float, limit: int) -> list[TimedEntry]:
        """Return at most `limit` entries whose run has been active for `seconds`, the longest first."""

        def work(session: Session) -> list[TimedEntry]:
            now = _now(session)
            rows = session.rows("long_running", now - timedelta(seconds=seconds), limit)
            entries = [read_entry(row) for row in rows]
            usual = {
                (workspace, table): _usual_seconds(session, workspace, table)
                for workspace, table in {(entry.workspace, entry.table_name) for entry in entries}
            }
            return [
                TimedEntry(entry=entry, usual_seconds=usual[entry.workspace, entry.table_name], now=now)
                for entry in entries
            ]

        return await self._pool.transact(work, writes=False)

    async def history(self, *, hours: int) -> History:
        """Count what was settled in the last `hours`: by the hour up to two days, by the day above."""

        def work(session: Session) -> History:
            now = _now(session)
            start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
            name = "history_by_hour"
            if hours > HOURLY_UP_TO:
                name = "history_by_day"
                start = now.replace(hour=0, minute=0, second=0, microsecond=0)
                start -= timedelta(days=-(-hours // 24) - 1)
            since = _counted_since(session, start)
            return History(buckets=[_bucket(row) for row in session.rows(name, since)], since=since)

        return await self._pool.transact(work, writes=False)

    async def tables(self, *, days: int, limit: int) -> Tables:
        """Summarize the runs of each source table in the last `days`."""

        def work(session: Session) -> Tables:
            since = _counted_since(session, _now(session) - timedelta(days=days))
            return Tables(tables=[_table(row) for row in session.rows("tables", since, limit)], since=since)

        return await self._pool.transact(work, writes=False)

    async def matching(self, wanted: EntryFilter, *, states: Collection[Status], limit: int) -> Matching:
        """Return at most `limit` entries of a filter that are in one of the states, last changed first.

        Examines at most 200,000 entries.
        """
        allowed = frozenset(states) & wanted.states if wanted.states else frozenset(states)
        found: list[int] = []
        after: str | None = None
        for _ in range(_MATCHING_ROUNDS if allowed else 0):
            page = await self.entries(replace(wanted, states=allowed), limit=limit - len(found), after=after)
            found += [entry.id for entry in page.entries]
            after = page.next
            if after is None or len(found) >= limit:
                break
        return Matching(ids=found, states=allowed, more=after is not None)


def _page(session: Session, search: Search, limit: int, parameters: bool) -> EntryPage:
    found: list[dict[str, Any]] = []
    end: Key | None = None
    for window in (limit + 1,) if search.is_plain() else _WINDOWS:
        missing = limit + 1 - len(found)
        found += _run(session, search.entries(window=window, limit=missing, parameters=parameters))
        if len(found) > limit:
            return _page_of(found[:limit], cursor(_key(found[limit - 1]), search.sort))
        ends = _run(session, search.end(window=window))
        if not ends:
            return _page_of(found, None)
        end = _key(ends[0])
        search = search.behind(end)
    return _page_of(found, cursor(end, search.sort) if end else None)


def _page_of(rows: list[dict[str, Any]], following: str | None) -> EntryPage:
    entries = [read_entry({name: row[name] for name in row if name != "place"}) for row in rows]
    return EntryPage(entries=entries, next=following)


def _key(row: dict[str, Any]) -> Key:
    # An unreadable time has no place; that of an order by id does not matter.
    is_readable = as_utc(row["place"]) is not None
    return Key(id=int(row["id"]), updated_at=row["place"] if is_readable else FIRST)


def _run(session: Session, statement: Statement) -> list[dict[str, Any]]:
    return session.select(statement.sql, *statement.values)


def _now(session: Session) -> datetime:
    return as_utc(session.rows("now")[0]["now"]) or datetime.now(UTC)


def _counted_since(session: Session, start: datetime) -> datetime:
    """Return the start, or a later time if too many runs were settled since then to count them."""
    rows = session.rows("settled_before", start, MAX_COUNTED)
    cut = as_utc(rows[0]["created_at"]) if rows else None
    return cut or start


def _status(session: Session, listed: Period | None) -> list[WorkspaceReport]:
    now = _now(session)
    reports: dict[str, dict[str, Any]] = {}

    def of(row: dict[str, Any]) -> dict[str, Any]:
        empty: dict[str, Any] = {
            **{name: {} for name in ("open", "finished_hour", "finished_day")},
            **{name: [] for name in ("in_flight", "late")},
        }
        return reports.setdefault(row["workspace"] or "", empty)

    for row in session.rows("open_states"):
        of(row)["open"][Status(row["status"])] = int(row["entries"])
    for row in session.rows("oldest_waiting", now):
        since = as_utc(row["since"])
        of(row)["oldest_waiting_seconds"] = (now - since).total_seconds() if since else None
    called_until = listed.end if listed else _NEVER
    for row in session.rows("flying_runs", now - timedelta(seconds=_CALL_SECONDS), called_until):
        of(row)["in_flight"].append(row)
    for row in session.rows("late_runs", listed.begin) if listed else ():
        of(row)["late"].append(row["runid"])
    for row in session.rows("ended", now - timedelta(hours=1), now - timedelta(days=1)):
        of(row)["finished_day"][Status(row["status"])] = int(row["entries"])
        of(row)["finished_hour"][Status(row["status"])] = int(row["lately"])
    return [_workspace_report(name, **found) for name, found in sorted(reports.items())]


def _workspace_report(
    name: str, *, in_flight: list[dict[str, Any]], late: list[int], **counts: Any
) -> WorkspaceReport:
    return WorkspaceReport(
        name=name,
        run_ids=frozenset(row["runid"] for row in in_flight if row["runid"] is not None),
        late_run_ids=frozenset(late),
        called_jobs=tuple(read_job_key(row) for row in in_flight if row["is_called"]),
        in_flight_jobs=tuple(read_job_key(row) for row in in_flight),
        **counts,
    )


def _usual_seconds(session: Session, workspace: str, table_name: str) -> float | None:
    """Return how long the runs of a source table usually take."""
    rows = session.rows("successes", table_name, _RECENT, workspace, USUAL_OF)
    return usual_seconds(
        [
            Duration(**{**row, **{name: as_utc(row[name]) for name in ("started_at", "finished_at")}})
            for row in rows
        ]
    )


def _troubled(session: Session, queued_seconds: float) -> list[Troubled]:
    now = _now(session)
    before = now - timedelta(seconds=queued_seconds)
    found = [
        *(_counted(Trouble.NO_STATUS, row) for row in session.rows("without_status")),
        *(_counted(Trouble.NO_SLOT, row) for row in session.rows("without_slot")),
        *(_counted(Trouble.PLATFORM, row) for row in session.rows("failed_by_platform")),
        *(_counted(Trouble.LONG_QUEUED, row) for row in session.rows("long_queued", before)),
        *(_counted(Trouble.UNCALLED, row) for row in session.rows("uncalled", before)),
    ]
    runs: dict[tuple[Trouble, str], list[Entry]] = defaultdict(list)
    for entry in map(read_entry, session.rows("troubled_runs", now - QUEUE_TAKES)):
        trouble = trouble_of_run(entry, now)
        if trouble is not None:
            runs[trouble, entry.workspace].append(entry)
    found += [runs_in_trouble(trouble, entries) for (trouble, _), entries in sorted(runs.items())]
    return [*found, *_strays(session)]


def _strays(session: Session) -> list[Troubled]:
    """Return the entries with a run that came too late and cannot be cancelled."""
    strays: dict[int, StrayRun] = {}
    for stray in map(read_stray, session.rows("strays")):
        strays.setdefault(stray.entry_id, stray)
    found: list[Troubled] = []
    for entry_id, stray in strays.items():
        detail = f"run {stray.run_id}, which came when the entry had gone on without it: {stray.problem}"
        found.extend(
            Troubled(trouble=Trouble.STRAY, entries=1, example=read_entry(row), detail=detail)
            for row in session.rows("find_entry", entry_id)
        )
    return found


def _counted(trouble: Trouble, row: dict[str, Any]) -> Troubled:
    entries = int(row.pop("entries"))
    return Troubled(trouble=trouble, entries=entries, example=read_entry(row))


def _bucket(row: dict[str, Any]) -> Bucket:
    return Bucket(
        start=as_utc(row["start"]) or datetime.min.replace(tzinfo=UTC),
        done=int(row["done"]),
        failed=int(row["failed"]),
        queue_seconds_mean=row["queue_seconds_mean"],
        execution_seconds_mean=row["execution_seconds_mean"],
    )


def _table(row: dict[str, Any]) -> TableReport:
    return TableReport(
        table=row["table_name"],
        workspace=row["workspace"],
        runs=int(row["runs"]),
        failed=int(row["failed"]),
        mean_seconds=row["mean_seconds"],
        max_seconds=row["max_seconds"],
        last_status=read_status(row["last_status"]),
        last_finished_at=as_utc(row["last_finished_at"]),
    )
