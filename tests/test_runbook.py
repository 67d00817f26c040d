"""docs/runbook.md explains every reason that health can give, and leads to a section of its own."""

import inspect
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core import health
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.errors import PackageMissing, SettingsError
from orchestrator.core.health import Trouble, Troubled
from orchestrator.core.models import ActiveRun, Entry, LastPass, StrayRun
from orchestrator.core.reports import (
    Active,
    OpenWorkspace,
    Silence,
    TimedEntry,
    WorkspaceReport,
    WorkspaceStatus,
)
from orchestrator.core.slots import JobRoom
from orchestrator.core.states import Status
from orchestrator.core.unknown_runs import PossibleRun
from tests import runbook
from tests.pages import anchors

NOW = datetime(2026, 1, 31, 4, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)

ENTRY = Entry(
    id=17,
    entry_guid="guid",
    workspace="default",
    table_name="sales",
    job_id=5,
    parameter_style="auto",
    priority=0,
    status=Status.DEAD,
    runid=7,
    submission=1,
    attempt=1,
    max_attempts=None,
    available_at=LONG_AGO,
    lease_expires_at=None,
    deliveries=1,
    cancel_requested=False,
    last_error="HTTP 403",
    created_at=LONG_AGO,
    updated_at=LONG_AGO,
    submitted_at=LONG_AGO,
    finished_at=None,
)

#: Functions of :mod:`health` whose words are no reason by themselves.
NO_REASONS = {"second", "holder_in_words", "last_run_elsewhere"}


def last_pass(*, started_at: datetime = NOW, finished_at: datetime | None = NOW) -> LastPass:
    return LastPass(
        name="trigger",
        started_at=started_at,
        finished_at=finished_at,
        outcome="failed: KeyError",
        troubled_since=LONG_AGO,
    )


def full_of_foreign_runs() -> WorkspaceStatus:
    runs = (ActiveRun(run_id=1, job_id=9),)
    return WorkspaceStatus(report=WorkspaceReport(name="default"), cap=1, active=Active(runs=runs))


def opened(number: int) -> OpenWorkspace:
    return OpenWorkspace(name=f"lost {number}", waiting=2, in_flight=1, since=LONG_AGO)


def lateness() -> list[str]:
    passes = (
        None,
        last_pass(started_at=LONG_AGO),
        last_pass(finished_at=None),
        last_pass(finished_at=LONG_AGO),
    )
    return [
        health.lateness("trigger", each, NOW, 900, "; the last pass: failed: KeyError") for each in passes
    ]


#: By the function of :mod:`health` that puts it into words: reasons of every kind that it makes.
REASONS: dict[str, Callable[[], Iterable[str]]] = {
    "troubled": lambda: [
        health.troubled(Troubled(trouble=trouble, entries=2, example=ENTRY)) for trouble in Trouble
    ],
    "long_runs": lambda: [health.long_runs([TimedEntry(entry=ENTRY, usual_seconds=60.0, now=NOW)])],
    "in_doubt": lambda: [health.in_doubt([PossibleRun(entry=ENTRY, run=ActiveRun(run_id=8, job_id=5))])],
    "ownerless": lambda: health.ownerless(
        [StrayRun(workspace="default", run_id=8, entry_id=17, since=LONG_AGO, problem="HTTP 403")]
    ),
    "unknown_workspaces": lambda: health.unknown_workspaces(list(map(opened, range(7))), ["default"], NOW),
    "lateness": lateness,
    "troubled_passes": lambda: [health.troubled_passes(last_pass(), NOW)],
    "unresolved": lambda: [health.unresolved("EVENTS_SECRET")],
    "silent": lambda: [health.silent(Silence(workspace="eu", since=LONG_AGO, problem="HTTP 503"))],
    "elsewhere": lambda: [
        health.elsewhere(
            Elsewhere(
                workspace="eu",
                here="https://a",
                entries=1,
                entry_id=17,
                address="https://b",
                since=LONG_AGO,
            )
        )
    ],
    "wait_for_nothing": lambda: [
        health.wait_for_nothing("eu", ""),
        health.wait_for_nothing("eu", "; the last pass: no"),
    ],
    "unanswered": lambda: [
        health.unanswered(9.0, "SQL Server [HYT00]: Login timeout expired (0)"),
        health.unanswered(9.0, None),
    ],
    "unlisted": lambda: [health.unlisted("eu", "HTTP 503", "")],
    "foreign_runs": lambda: [health.foreign_runs(full_of_foreign_runs())],
    "full_job": lambda: [health.full_job("eu", JobRoom(job_id=5, max_concurrent_runs=1, ours=0, foreign=1))],
}

#: What health says besides, when it cannot look.
OTHERS = [
    str(SettingsError(["DATABRICKS_HOST must be set"])),
    str(PackageMissing("aiohttp")),
    "the database lacks 0002_reports; run: python -m orchestrator init-db",
    "the database has schema 14, this version of the app knows 13: deploy the newer app",
    "SQL Server [28000]: Login failed for user 'app'. (18456)",
    "no access token for Azure SQL: the identity endpoint is overloaded or away (HTTP 503)",
    "SQLite (state.db): database is locked; another process holds the file in a long transaction",
]


def all_reasons() -> list[str]:
    return [*OTHERS, *(reason for made in REASONS.values() for reason in made())]


def test_every_function_that_makes_reasons_is_here() -> None:
    makers = {
        name
        for name, function in inspect.getmembers(health, inspect.isfunction)
        if function.__module__ == health.__name__
        and not name.startswith("_")
        and inspect.signature(function).return_annotation in {str, list[str]}
    }
    assert makers - NO_REASONS == REASONS.keys()


@pytest.mark.parametrize("reason", all_reasons(), ids=lambda reason: reason[:60])
def test_every_reason_is_explained(reason: str) -> None:
    assert reason
    assert runbook.words_of(reason) is not None


def test_no_two_troubles_are_taken_for_each_other() -> None:
    made = list(REASONS["troubled"]())
    assert len({runbook.words_of(reason) for reason in made}) == len(Trouble)


def test_every_line_of_the_table_is_said_and_leads_somewhere() -> None:
    assert runbook.SECTIONS.keys() == {runbook.words_of(reason) for reason in all_reasons()}
    links = {link for found in runbook.SECTIONS.values() for link in found}
    assert all(runbook.SECTIONS.values())
    assert links <= anchors(runbook.PAGE)


def test_every_symptom_says_where_to_look_what_to_do_and_when_it_is_over() -> None:
    for title in runbook.symptoms():
        text = runbook.section(title)
        parts = [text.find(part) for part in ("**Look.**", "**Do.**", "**Well again**")]
        missing_look = "cannot start its work" in title  # the words themselves say what is wrong
        assert parts[2] > 0, title
        assert missing_look or (0 <= parts[0] < parts[1] < parts[2]), title
