"""The entries and their transitions: each change of state is one short transaction of named SQL."""

import math
from collections.abc import Collection
from datetime import datetime

from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.records import (
    NO_LIMIT,
    cut,
    log_values,
    milliseconds,
    read_claim,
    read_entry,
    read_log_row,
)
from orchestrator.adapters.store.session import Session
from orchestrator.core.models import (
    IN_DOUBT,
    CallsElsewhere,
    Claim,
    Entry,
    LogRow,
    Unanswered,
    Verdict,
)

#: All claims in a database take this one lock, whatever the workspace: a claim takes milliseconds.
_CLAIM_LOCK = "databricks-job-orchestrator/claim"

#: A call without an answer is subtracted from ``deliveries`` again where there are more of them than this.
_SUBTRACTED_ABOVE = {Unanswered.NO_EFFECT: 0, Unanswered.OUTAGE: IN_DOUBT, Unanswered.ENTRY: NO_LIMIT}


class Store:
    """The rows of ``track_processing`` and their log.

    A change whose entry is no longer in the state that it starts from changes nothing and says so. Every
    method may raise :class:`~orchestrator.core.errors.StoreError`.
    """

    def __init__(self, pool: Pool) -> None:
        #: the connections, for everything else that reads and writes this database
        self.pool = pool

    async def claim(
        self,
        workspace: str,
        *,
        cap: int,
        active_run_ids: Collection[int],
        lease_seconds: float,
        max_attempts: int,
        serialize_tables: bool,
    ) -> list[Claim]:
        """Claim as many waiting entries as the workspace has free slots, highest priority first.

        Each entry in flight takes a slot, and so does each foreign run. The run of an entry that has just
        ended counts as foreign for one pass: that pass claims too few entries, never too many.
        """

        def work(session: Session) -> list[Claim]:
            session.acquire_lock(_CLAIM_LOCK)
            in_flight = session.rows("in_flight", workspace)
            foreign = set(active_run_ids) - {row["runid"] for row in in_flight}
            free = cap - len(in_flight) - len(foreign)
            if free <= 0:
                return []
            rows = session.rows(
                "claim",
                max_attempts or NO_LIMIT,
                milliseconds(lease_seconds),
                workspace,
                max_attempts or NO_LIMIT,
                int(serialize_tables),
                int(serialize_tables),
                free,
            )
            rows.sort(key=lambda row: (-row["priority"], row["id"]))
            return [read_claim(row) for row in rows]

        return await self.pool.transact(work, writes=True)

    async def get(self, entry_id: int) -> Entry | None:
        """Return an entry, or None."""
        rows = await self.pool.transact(lambda session: session.rows("get_entry", entry_id), writes=False)
        return read_entry(rows[0]) if rows else None

    async def begin_submission(self, claim: Claim, lease_seconds: float) -> Entry | None:
        """Record that ``run-now`` is about to be called, renew the lease and return the entry.

        None: the entry is no longer QUEUED for this submission, or a cancellation came before the first call.
        """
        rows = await self.pool.transact(
            lambda session: session.rows(
                "begin_submission", milliseconds(lease_seconds), claim.entry_id, claim.submission
            ),
            writes=True,
        )
        return read_entry(rows[0]) if rows else None

    async def record_run(self, claim: Claim, run_id: int) -> bool:
        """QUEUED → RUNNING. False: the entry is no longer QUEUED for this submission."""
        return await self.pool.transact(
            lambda session: session.change("record_run", run_id, claim.entry_id, claim.submission) == 1,
            writes=True,
        )

    async def release(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → PENDING for lack of capacity. False: another delivery has taken over."""
        return await self.pool.transact(
            lambda session: (
                session.change(
                    "release",
                    milliseconds(verdict.delay_seconds),
                    cut(verdict.error),
                    entry.id,
                    entry.submission,
                    entry.deliveries,
                )
                == 1
            ),
            writes=True,
        )

    async def refuse(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """QUEUED → FAILED, DEAD or CANCELED, with its log row. False: another delivery has taken over."""
        return await self.pool.transact(
            lambda session: _change_and_log(session, log, "refuse", *_ending(entry, verdict)), writes=True
        )

    async def leave_open(self, entry: Entry, verdict: Verdict) -> bool:
        """QUEUED → FAILED, DEAD or CANCELED, the submission left open: its token will find the run, if any.

        False: another delivery has taken over.
        """
        return await self.pool.transact(
            lambda session: session.change("leave_open", *_ending(entry, verdict)) == 1, writes=True
        )

    async def postpone(
        self, claim: Claim, *, seconds: float, reason: str, unanswered: Unanswered = Unanswered.ENTRY
    ) -> bool:
        """Let the lease of a QUEUED entry end in ``seconds``; then its message is sent again.

        :param unanswered: why the call that has just been made got no answer; by default it counts as a
            delivery.
        """
        return await self.pool.transact(
            lambda session: (
                session.change(
                    "postpone",
                    milliseconds(seconds),
                    cut(reason),
                    _SUBTRACTED_ABOVE[unanswered],
                    claim.entry_id,
                    claim.submission,
                )
                == 1
            ),
            writes=True,
        )

    async def finish(self, entry: Entry, verdict: Verdict, log: LogRow) -> bool:
        """RUNNING → the state that the verdict names, with its log row. False: another monitor was faster."""

        return await self.pool.transact(
            lambda session: _change_and_log(
                session,
                log,
                "finish",
                verdict.to,
                milliseconds(verdict.delay_seconds),
                cut(verdict.error),
                0 if verdict.attempt_spent else 1,
                entry.id,
                entry.submission,
                entry.runid,
            ),
            writes=True,
        )

    async def recover(self, *, lease_seconds: float, limit: int) -> list[Claim]:
        """Renew the lease of QUEUED entries whose lease is over and return their claims, to be sent again."""
        rows = await self.pool.transact(
            lambda session: session.rows("recover", milliseconds(lease_seconds), limit), writes=True
        )
        return [read_claim(row) for row in rows]

    async def unanswered(self, *, deliveries: int, limit: int) -> list[Entry]:
        """Return QUEUED entries whose lease is over after ``deliveries`` calls or more without an answer."""
        rows = await self.pool.transact(
            lambda session: session.rows("unanswered", deliveries, limit), writes=False
        )
        return [read_entry(row) for row in rows]

    async def calls_elsewhere(self, entry: Entry, *, within_seconds: float) -> CallsElsewhere:
        """Say how ``run-now`` fares for the other entries of an entry's workspace.

        :param within_seconds: how far back to look for accepted runs.
        """
        since, name = -milliseconds(within_seconds), entry.workspace
        [found] = await self.pool.transact(
            lambda session: session.rows("calls_elsewhere", name, since, since, name, since, name, entry.id),
            writes=False,
        )
        return CallsElsewhere(accepted=bool(found["accepted"]), unanswered=bool(found["unanswered"]))

    async def cancel_waiting(self, limit: int) -> int:
        """Cancel, on request, entries that certainly have no run; return how many."""
        return await self.pool.transact(lambda session: session.change("cancel_waiting", limit), writes=True)

    async def running(self, workspace: str) -> list[Entry]:
        """Return all RUNNING entries of a workspace."""
        rows = await self.pool.transact(lambda session: session.rows("running", workspace), writes=False)
        return [read_entry(row) for row in rows]

    async def running_run(self, workspace: str, run_id: int) -> Entry | None:
        """Return the entry that follows a run now, or None."""
        rows = await self.pool.transact(
            lambda session: session.rows("running_run", workspace, run_id), writes=False
        )
        return read_entry(rows[0]) if rows else None

    async def running_workspaces(self) -> set[str]:
        """Return the workspaces that RUNNING entries name, configured or not."""
        rows = await self.pool.transact(lambda session: session.rows("running_workspaces"), writes=False)
        return {row["workspace"] for row in rows}

    async def waiting_workspaces(self) -> set[str]:
        """Return the workspaces that waiting entries name, configured or not."""
        rows = await self.pool.transact(lambda session: session.rows("waiting_workspaces"), writes=False)
        return {row["workspace"] for row in rows}

    async def purge(self, *, older_than_seconds: float, limit: int) -> int:
        """Delete entries that have been final for that long, oldest first, with their logs; return how many.

        An entry whose submission was left open stays, even when it is DEAD: its token alone can find the run
        that may have been started.
        """
        return await self.pool.transact(
            lambda session: session.change("purge", math.ceil(older_than_seconds), limit), writes=True
        )

    async def logs(self, entry_id: int) -> list[LogRow]:
        """Return the settled submissions of an entry, first to last."""
        rows = await self.pool.transact(lambda session: session.rows("logs_of_entry", entry_id), writes=False)
        return [read_log_row(row) for row in rows]

    async def now(self) -> datetime:
        """Return the database's clock."""
        return await self.pool.transact(Session.now, writes=False)


def _ending(entry: Entry, verdict: Verdict) -> tuple[object, ...]:
    """Return the parameters of a statement that ends a submission which started no known run."""
    return (
        verdict.to,
        milliseconds(verdict.delay_seconds),
        cut(verdict.error),
        entry.id,
        entry.submission,
        entry.deliveries,
    )


def _change_and_log(session: Session, log: LogRow, name: str, *parameters: object) -> bool:
    """Change an entry and, if it was changed, insert its log row; say whether it was."""
    if session.change(name, *parameters) != 1:
        return False
    session.change("insert_log", *log_values(log))
    return True
