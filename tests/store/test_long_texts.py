"""Texts of every length come back as they were written, also beyond 4,000 characters."""

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.core.decisions import log_of_run
from orchestrator.core.models import Run, RunFailure
from orchestrator.core.states import Status
from tests.store.helpers import add, entry_of, running, verdict


@pytest.mark.parametrize("length", [1, 2000, 2001, 4000, 4001, 9000])
@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
async def test_a_trace_and_parameters_of_any_length(store: Store, length: int, character: str) -> None:
    text = character * length
    [entry_id] = await add(store, "sales", parameters=text)
    assert (await entry_of(store, entry_id)).parameters == text
    entry = await running(store, 7, "other")
    failure = RunFailure(message="it failed", error_trace=text)
    log = log_of_run(entry, Run(run_id=7, life_cycle_state="TERMINATED"), failure, verdict(Status.FAILED))
    assert await store.finish(entry, verdict(Status.FAILED), log)
    [kept] = await store.logs(entry.id)
    assert kept.error_trace == text
