"""Kill the process, or lose the response, at every boundary of every story, one at a time.

What is left is taken up by a new process; then everything is counted in Databricks and in the database.
"""

import asyncio
import multiprocessing
import re
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devstack.databricks.options import Options
from devstack.databricks.outcomes import parse_rule
from devstack.databricks.server import make_app
from devstack.databricks.simulator import Simulator
from devstack.serving import serving
from tests import invariants
from tests.conftest import FIGURE, Azurite
from tests.sweep import scenario
from tests.sweep.boundaries import BEFORE, Damage, kind, met, with_an_after_of_its_own
from tests.sweep.others import CLOCK, STRANGER
from tests.sweep.stories import DELETED, MAX_ATTEMPTS, RUN_SECONDS, STORIES, Planned, Story

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

JOB_ID = 5

#: Concurrent trials: the processes wait for I/O more than for the processor.
CONCURRENCY = 3

#: Time limit of one process, in seconds; it takes less than one.
PROCESS_SECONDS = 60

#: Modules that the fork server imports, so that forked processes start at once.
PRELOAD = [
    "aiohttp",
    "azure.core.rest._aiohttp",
    "azure.storage.queue.aio",
    "devstack.host.storage",
    "orchestrator.adapters.databricks.client",
    "tests.sweep.scenario",
]

#: Where others act, what comes before the first run is as in the other stories, and so is what these kinds of
#: boundaries break. A trial takes longer there.
_FIRST_RUN = "POST /api/2.2/jobs/run-now #1"
_AS_ELSEWHERE = re.compile(r"GET |PUT |DELETE /|commit of (INSERT INTO|UPDATE) orchestrator_tick ")

#: Every kind of boundary that the app has. The stories must meet each of them.
KINDS = {
    "GET /api/2.2/jobs/get",
    "POST /api/2.2/jobs/run-now",
    "GET /api/2.2/jobs/runs/list",
    "GET /api/2.2/jobs/runs/get",
    "GET /api/2.2/jobs/runs/get-output",
    "POST /api/2.2/jobs/runs/cancel",
    "POST /api/2.2/jobs/runs/repair",
    "PUT /devstoreaccount1/QUEUE",
    "POST /devstoreaccount1/QUEUE/messages",
    "GET /devstoreaccount1/QUEUE/messages",
    "DELETE /devstoreaccount1/QUEUE/messages/ID",
    "commit of UPDATE track_processing",
    "commit of INSERT INTO process_log",
    "commit of INSERT INTO orchestrator_open_submission",
    "commit of UPDATE orchestrator_open_submission",
    "commit of DELETE FROM orchestrator_open_submission",
    "commit of UPDATE orchestrator_stray_run",
    "commit of INSERT INTO orchestrator_tick",
    "commit of UPDATE orchestrator_tick",
}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The resources that all trials of one story share."""

    story: Story
    folder: Path
    template: Path
    azurite: Azurite
    processes: ForkServerContext

    async def undisturbed(self) -> list[str]:
        """Run the story undisturbed and return all that was reported, in order."""
        trial = Trial(sweep=self, name="undisturbed")
        await trial.run(None, Damage.KILL_BEFORE)
        return trial.steps()

    async def try_all(self, damage: Damage) -> int:
        """Break each boundary in a trial of its own; return how many were broken."""
        steps = await self.undisturbed()
        if self.story.has_others:
            names = _worth_breaking(steps[steps.index(f"{BEFORE}{_FIRST_RUN}") :], damage)
            names = [name for name in names if not _AS_ELSEWHERE.match(name)]
        else:
            names = _worth_breaking(steps, damage)
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(number: int, target: str) -> None:
            async with slots:
                await Trial(sweep=self, name=f"{damage}-{number}").run(target, damage)

        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                group.create_task(one(number, name))
        return len(names)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of the story with its own Databricks, queue and database."""

    sweep: Sweep
    name: str

    @property
    def record(self) -> Path:
        """The file that its processes report to."""
        return self.sweep.folder / f"{self.name}.txt"

    def steps(self) -> list[str]:
        """What has been reported: the boundaries, and others' acts."""
        return self.record.read_text().splitlines()

    @property
    def database(self) -> Path:
        """The database file."""
        return self.sweep.folder / f"{self.name}.db"

    @property
    def clock(self) -> Path:
        """The file with the seconds that have passed at Databricks."""
        return self.sweep.folder / f"{self.name}.clock"

    def _simulator(self) -> Simulator:
        start = time.time()
        options = Options(seed=1, pending_seconds=0, run_seconds=RUN_SECONDS, jobs=((JOB_ID, "/job"),))
        simulator = Simulator(options, now=lambda: start + float(self.clock.read_text()))
        for planned in self.sweep.story.entries:
            simulator.workspace.outcomes.add(parse_rule(_outcome(planned)))
        return simulator

    async def run(self, target: str | None, damage: Damage) -> None:
        """Run the story, break it at the target, continue with a new process, and check the result."""
        shutil.copy(self.sweep.template, self.database)
        self.clock.write_text("0")
        async with AsyncExitStack() as servers:
            url = await servers.enter_async_context(serving(make_app(self._simulator())))
            environment = self._environment(url)
            if self.sweep.story.has_others:
                elsewhere = serving(make_app(self._simulator()))
                environment[STRANGER] = await servers.enter_async_context(elsewhere)
            code = await self._process(environment, target, damage)
            if code == -signal.SIGKILL:
                assert target is not None
                code = await self._process(environment, None, damage)
            assert code == 0, f"the process ended with {code}"
            runs = await _get(f"{url}/_sim/runs")
            if self.sweep.story.has_others:
                there = await _get(f"{environment[STRANGER]}/_sim/runs")
                assert there["runs"] == [], "a run was begun at another address"
        assert target is None or target in met(self.steps()), "the boundary was not met"
        self._check(runs["runs"])

    def _environment(self, url: str) -> dict[str, str]:
        return {
            "AzureWebJobsStorage": self.sweep.azurite.connection_string,
            "SUBMIT_QUEUE_NAME": f"test-{uuid.uuid4().hex}",
            "TRIGGER_SCHEDULE": "0 * * * * *",
            "MONITOR_SCHEDULE": "0 * * * * *",
            "STATE_DB": str(self.database),
            CLOCK: str(self.clock),
            "DATABRICKS_HOST": url,
            "DATABRICKS_TOKEN": "token",
            "DATABRICKS_JOB_ID": str(JOB_ID),
            "MAX_ACTIVE_RUNS": str(self.sweep.story.cap),
            "MAX_ATTEMPTS": str(MAX_ATTEMPTS),
            "RETRY_BACKOFF_SECONDS": "0",
        }

    async def _process(self, environment: dict[str, str], target: str | None, damage: Damage) -> int | None:
        process = self.sweep.processes.Process(
            target=scenario.main, args=(environment, str(self.record), target, damage)
        )
        process.start()
        # Never from a thread: the next start() reads the states of all ended processes, too.
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process.sentinel, ended.set)
        try:
            async with asyncio.timeout(PROCESS_SECONDS):
                await ended.wait()
        finally:
            loop.remove_reader(process.sentinel)
            process.kill()
            process.join()
        return process.exitcode

    def _check(self, every_run: list[dict[str, Any]]) -> None:
        story = self.sweep.story
        deleted = {each.table: each.runs for each in story.entries if each.status == DELETED}
        found = [run for run in every_run if run["parameters"]["table_name"] not in deleted]
        unwanted = [run for run in every_run if run not in found]
        assert Counter(run["parameters"]["table_name"] for run in unwanted) == deleted
        assert all(run["end_time"] for run in unwanted), "a run goes on whose entry was deleted"
        self._check_entries([each for each in story.entries if each.status != DELETED], found)

    def _check_entries(self, entries: Sequence[Planned], found: list[dict[str, Any]]) -> None:
        facts = invariants.gather(
            self.database,
            runs=found,
            cap=self.sweep.story.cap,
            max_attempts=MAX_ATTEMPTS,
            by_hand=[run["run_id"] for run in found if run["parameters"].get("table_name") == "repaired"],
        )
        assert invariants.violations(facts) == []
        ends = Counter((row["table_name"], row["status"], row["attempt"]) for row in facts.entries.values())
        assert ends == Counter((each.table, each.status, each.attempts) for each in entries)
        runs, repairs = Counter[str](), Counter[str]()
        for run in facts.runs:
            table = run["parameters"]["table_name"]
            runs[table] += 1
            repairs[table] += len(run["parts"]) - 1
        assert runs == _totals((each.table, each.runs) for each in entries)
        assert repairs == _totals((each.table, each.repairs) for each in entries)


def _worth_breaking(steps: Sequence[str], damage: Damage) -> list[str]:
    """Return the boundaries whose damage is not the same as another's."""
    if damage is Damage.KILL_AFTER:  # most times it is as if the process were killed before the next one
        return with_an_after_of_its_own(steps)
    if damage is Damage.LOSE_ANSWERS:  # only calls that change something: clients wait before they repeat
        return [name for name in met(steps) if name.startswith("POST ")]
    return met(steps)


def _outcome(planned: Planned) -> dict[str, Any]:
    """Return the rule by which the simulator ends an entry's runs."""
    rule = {"match": {"table_name": planned.table}, "results": [*planned.results]}
    return rule if planned.run_seconds is None else {**rule, "run_seconds": planned.run_seconds}


def _totals(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    totals = Counter[str]()
    for table, count in counts:
        totals[table] += count
    return totals


async def _get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


MakeSweep = Callable[[Story], Sweep]


@pytest.fixture
def make_sweep(tmp_path: Path, azurite: Azurite) -> MakeSweep:
    """Prepare a fork server, and for a story a folder with its database."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOAD)

    def make(story: Story) -> Sweep:
        folder = tmp_path / story.name
        folder.mkdir()
        template = folder / "template.db"
        scenario.prepare(template, story)
        return Sweep(story=story, folder=folder, template=template, azurite=azurite, processes=processes)

    return make


async def test_stories_meet_every_kind_of_boundary(make_sweep: MakeSweep) -> None:
    kinds = {kind(name) for story in STORIES for name in met(await make_sweep(story).undisturbed())}
    assert kinds == KINDS


@pytest.mark.parametrize("damage", list(Damage))
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_every_boundary(
    make_sweep: MakeSweep, story: Story, damage: Damage, record_property: Callable[[str, object], None]
) -> None:
    boundaries = await make_sweep(story).try_all(damage)
    record_property(FIGURE, f"boundaries swept, {story.name}, {damage}: {boundaries}")
