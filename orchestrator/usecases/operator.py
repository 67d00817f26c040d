"""What operators do: add entries, and retry, cancel or resolve one, several, or all that a filter matches."""

import logging
from collections.abc import Callable, Sequence

from orchestrator.core.actions import Action, Changes, Refusal, Resolve
from orchestrator.core.errors import Conflict, EntryNotFound, StoreError, StoreInDoubt
from orchestrator.core.models import ANYTHING, Entry, Expected, IdempotencyKey, NewEntry
from orchestrator.core.numbers import MIN_ID
from orchestrator.core.redaction import one_line
from orchestrator.core.search import EntryFilter
from orchestrator.core.states import NoStatus, Status
from orchestrator.ports import EntryReader, Operations, Reports

_logger = logging.getLogger(__name__)

#: Entries changed in one transaction. SQL Server locks the whole table at 5,000 locks; this stays far below.
_BATCH = 200


def _ignore(_done: int) -> None:
    """Report progress to nobody."""


class Operator:
    """Changes that people request. Every method may raise :class:`StoreError`.

    :param inserts_refused: why the app may not insert entries; None = it may.
    """

    def __init__(
        self,
        *,
        operations: Operations,
        entries: EntryReader,
        reports: Reports,
        inserts_refused: str | None,
    ) -> None:
        self._operations = operations
        self._entries = entries
        self._reports = reports
        self._inserts_refused = inserts_refused

    def require_inserts(self) -> None:
        """Check that the app may insert entries. :raises Conflict: the settings refuse inserts."""
        if self._inserts_refused is not None:
            raise Conflict(self._inserts_refused)

    async def add(self, entries: Sequence[NewEntry], key: IdempotencyKey | None = None) -> list[int]:
        """Insert entries, all or none, and return their ids; a repeated request gets the ids of the first.

        :raises Conflict: the settings refuse inserts.
        :raises RequestConflict: the key came with different entries before.
        """
        self.require_inserts()
        return await self._operations.add(entries, key)

    async def change_one(self, action: Action, entry_id: int, expected: Expected = ANYTHING) -> Entry:
        """Change one entry and return it as it is then.

        :param expected: the state in which it must still be.
        :raises EntryNotFound: there is no such entry.
        :raises Conflict: it is in another state than expected, or in one that the action does not apply to.
        :raises StoreInDoubt: it may be changed.
        """
        changed = await self._change(action, [entry_id], expected)
        try:
            entry = await self._entries.get(entry_id)
        except StoreError as error:
            raise StoreInDoubt(f"it may be done, but the entry cannot be read: {error}") from error
        if entry is None:
            raise EntryNotFound(entry_id)
        if not changed:
            raise Conflict(_reason(action, entry, expected))
        return entry

    async def resolve_one(
        self, action: Resolve, entry_id: int, expected: Expected = ANYTHING
    ) -> tuple[Entry, int | None]:
        """Settle one entry by hand; return it, and its run if that was not known to be over.

        Raises what :meth:`change_one` raises.
        """
        before = await self._entries.get(entry_id)
        entry = await self.change_one(action, entry_id, expected)
        return entry, before.runid if before is not None and before.status is Status.RUNNING else None

    async def change_each(self, action: Action, entry_ids: Sequence[int], *, dry_run: bool) -> Changes:
        """Change entries by their ids and say why the others were refused.

        :param dry_run: change nothing; say what would be changed.
        """
        ids = list(dict.fromkeys(entry_ids))
        changed = set() if dry_run else set(await self._in_batches(action, ids, ANYTHING, _ignore))
        refused = []
        for entry_id in ids:
            if entry_id in changed:
                continue
            entry = await self._entries.get(entry_id)
            if dry_run and entry is not None and entry.status in action.states:
                changed.add(entry_id)
            else:
                reason = str(EntryNotFound(entry_id)) if entry is None else _reason(action, entry, ANYTHING)
                refused.append(Refusal(entry_id=entry_id, reason=reason))
        return Changes(ids=[each for each in ids if each in changed], refused=refused)

    async def move(self, workspace: str, address: str) -> list[int]:
        """Look for what a workspace has open elsewhere at its present address; return the entries.

        Those are the runs, also those that nobody wants, the calls whose outcome is not known, and the last
        runs that nobody saw over. What the present address does not know is gone by the usual rules.

        :raises StoreInDoubt: some of them were changed; it is safe to call this again.
        """
        moved = set(await self._operations.move_strays(workspace, address))
        after = MIN_ID - 1
        try:
            while batch := await self._operations.move(workspace, address, after=after, limit=_BATCH):
                moved.update(batch)
                after = batch[-1]
        except StoreError as error:
            if not moved:
                raise
            raise StoreInDoubt(f"{len(moved)} entries were changed, then it failed: {error}") from error
        ids = sorted(moved)
        if ids:
            _logger.warning("workspace %s has moved to %s: entries %s", one_line(workspace), address, ids)
        return ids

    async def find(self, action: Action, wanted: EntryFilter, *, limit: int) -> Changes:
        """Return at most `limit` entries of a filter that the action would change, last changed first."""
        states = action.states if wanted.states else action.by_default
        if wanted.with_failures:
            states = action.states & {Status.DONE}
        found = await self._reports.matching(wanted, states=states, limit=limit)
        return Changes(ids=found.ids, states=found.states, more=found.more)

    async def change_found(
        self, action: Action, found: Changes, *, progress: Callable[[int], None] = _ignore
    ) -> Changes:
        """Change the entries that :meth:`find` returned, unless they have left its states since.

        :param progress: called with the number of entries of each batch that is done.
        """
        changed = set(await self._in_batches(action, found.ids, Expected(states=found.states), progress))
        reason = "has changed since it was found, and is left alone"
        return Changes(
            ids=[each for each in found.ids if each in changed],
            refused=[
                Refusal(entry_id=each, reason=f"entry {each} {reason}")
                for each in found.ids
                if each not in changed
            ],
            states=found.states,
            more=found.more,
        )

    async def _change(self, action: Action, ids: Sequence[int], expected: Expected) -> list[int]:
        changed = await self._operations.change(action, ids, expected)
        if changed and isinstance(action, Resolve):
            _logger.info("%s, now %s: entries %s", action.message, action.to, changed)
        return changed

    async def _in_batches(
        self, action: Action, ids: Sequence[int], expected: Expected, progress: Callable[[int], None]
    ) -> list[int]:
        changed: list[int] = []
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            try:
                changed += await self._change(action, batch, expected)
            except StoreError as error:
                if not changed:
                    raise
                done = f"{len(changed)} of {len(ids)} entries were changed"
                raise StoreInDoubt(f"{done}, then it failed: {error}") from error
            progress(len(batch))
        return changed


def _reason(action: Action, entry: Entry, expected: Expected) -> str:
    """Say why an entry was not changed."""
    if isinstance(entry.status, NoStatus):
        return f"entry {entry.id} cannot be {action.refusal.partition(':')[0]}: its {entry.last_error}"
    if not expected.fits(entry.status, entry.submission):
        return (
            f"entry {entry.id} has changed: it is {entry.status}, submission {entry.submission}; "
            "look at it, and decide again"
        )
    return f"entry {entry.id} is {entry.status} and cannot be {action.refusal}"
