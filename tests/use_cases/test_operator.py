"""Entries that operators add, retry and cancel: what is changed, and what is refused and why."""

from typing import Any

import pytest

from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.actions import CANCEL, RETRY, Refusal
from orchestrator.core.errors import Conflict, EntryNotFound, StoreInDoubt, StoreUnavailable
from orchestrator.core.models import Expected, IdempotencyKey, NewEntry
from orchestrator.core.search import EntryFilter
from orchestrator.core.states import CLAIMABLE, Status
from orchestrator.usecases import operator as operator_module
from orchestrator.usecases.operator import Operator
from tests.world import World


def operator(world: World, inserts_refused: str | None = None) -> Operator:
    return Operator(
        operations=Operations(world.store.pool),
        entries=world.store,
        reports=Reports(world.store.pool),
        inserts_refused=inserts_refused,
    )


async def test_entries_are_added_once_per_key(world: World) -> None:
    new, key = (
        [NewEntry(table_name="a"), NewEntry(table_name="b")],
        IdempotencyKey(key="k", body_hash="0" * 64),
    )
    first = await operator(world).add(new, key)
    assert await operator(world).add(new, key) == first
    assert len(await operator(world).add(new)) == 2


async def test_settings_may_refuse_inserts(world: World) -> None:
    with pytest.raises(Conflict, match="insert by SQL"):
        await operator(world, "insert by SQL").add([NewEntry(table_name="a")])
    assert await Reports(world.store.pool).status() == []


async def test_one_entry_is_changed_and_returned(world: World) -> None:
    [entry_id] = await world.add("a")
    entry = await operator(world).change_one(CANCEL, entry_id)
    assert (entry.id, entry.cancel_requested) == (entry_id, True)
    await world.monitor()
    assert (await operator(world).change_one(RETRY, entry_id)).status is Status.PENDING


async def test_one_entry_that_cannot_be_changed_says_why(world: World) -> None:
    [entry_id] = await world.add("a")
    with pytest.raises(Conflict, match="is PENDING and cannot be run again: it is waiting or in flight"):
        await operator(world).change_one(RETRY, entry_id)
    with pytest.raises(Conflict, match="has changed: it is PENDING, submission 0; look at it"):
        await operator(world).change_one(CANCEL, entry_id, Expected(states=frozenset({Status.FAILED})))
    with pytest.raises(EntryNotFound, match="there is no entry 99"):
        await operator(world).change_one(CANCEL, 99)
    assert not (await world.entry(entry_id)).cancel_requested


async def test_entries_by_id_are_changed_once_and_the_others_refused(world: World) -> None:
    first, second = await world.add("a", "b")
    await world.cancel(second)
    await world.monitor()
    ids = [first, second, 99, first]
    refused = [
        Refusal(entry_id=second, reason=f"entry {second} is CANCELED and cannot be cancelled: it is over"),
        Refusal(entry_id=99, reason="there is no entry 99"),
    ]
    would = await operator(world).change_each(CANCEL, ids, dry_run=True)
    assert (would.ids, would.refused) == ([first], refused)
    assert not (await world.entry(first)).cancel_requested
    done = await operator(world).change_each(CANCEL, ids, dry_run=False)
    assert (done.ids, done.refused) == ([first], refused)
    assert (await world.entry(first)).cancel_requested


async def test_a_filter_finds_what_the_action_applies_to(world: World) -> None:
    first, second, third = await world.add("a", "b", "c")
    await world.cancel(first)
    await world.monitor()
    all_of_them = EntryFilter(workspace="default")
    assert (await operator(world).find(RETRY, all_of_them, limit=10)).ids == []  # not what was canceled
    named = EntryFilter(workspace="default", states=frozenset(Status))
    found = await operator(world).find(RETRY, named, limit=10)
    assert (found.ids, found.states, found.more) == ([first], RETRY.states, False)
    some = await operator(world).find(CANCEL, all_of_them, limit=1)
    assert (len(some.ids), some.more) == (1, True)
    assert set(some.ids) <= {second, third}


async def test_found_entries_that_change_meanwhile_are_left_alone(world: World) -> None:
    first, second = await world.add("a", "b")
    found = await operator(world).find(CANCEL, EntryFilter(states=CLAIMABLE), limit=10)
    assert set(found.ids) == {first, second}
    await world.cancel(second)
    await world.store.cancel_waiting(10)
    progress: list[int] = []
    done = await operator(world).change_found(CANCEL, found, progress=progress.append)
    assert (done.ids, [each.entry_id for each in done.refused]) == ([first], [second])
    assert done.refused[0].reason == f"entry {second} has changed since it was found, and is left alone"
    assert progress == [2]


async def test_a_batch_that_fails_leaves_the_earlier_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await world.add("a", "b")
    monkeypatch.setattr(operator_module, "_BATCH", 1)
    change = Operations.change

    async def breaking(self: Operations, action: Any, ids: Any, expected: Any) -> list[int]:
        if ids == [second]:
            raise StoreUnavailable("the connection broke")
        return await change(self, action, ids, expected)

    monkeypatch.setattr(Operations, "change", breaking)
    with pytest.raises(StoreInDoubt, match="1 of 2 entries were changed, then it failed"):
        await operator(world).change_each(CANCEL, [first, second], dry_run=False)
    assert (await world.entry(first)).cancel_requested
    with pytest.raises(StoreUnavailable):  # nothing was changed before
        await operator(world).change_each(CANCEL, [second, first], dry_run=False)
