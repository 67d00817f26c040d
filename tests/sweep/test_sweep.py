"""Kill the process, or lose the response, at every boundary of the standard scenario, one at a time.

What is left is taken up by a new process; then everything is counted in Databricks and in the database.
"""

import asyncio
import multiprocessing
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable
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
from tests.sweep.boundaries import Damage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

JOB_ID = 5

#: Concurrent trials: the processes wait for I/O more than for the processor.
CONCURRENCY = 3

#: Time limit of one process, in seconds; it takes less than one.
PROCESS_SECONDS = 60

#: Modules that the fork server imports, so that forked processes start at once.
PRELOAD = ["aiohttp", "azure.storage.queue.aio", "devstack.host.storage", "tests.sweep.scenario"]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The resources that all trials share."""

    folder: Path
    template: Path
    azurite: Azurite
    processes: ForkServerContext

    async def boundaries(self) -> list[str]:
        """Run the scenario undisturbed and return its boundaries in order."""
        trial = Trial(sweep=self, name="undisturbed")
        await trial.run(None, Damage.KILL_BEFORE)
        return trial.record.read_text().splitlines()

    async def try_all(self, damage: Damage) -> int:
        """Break each boundary in a trial of its own; return how many there are."""
        names = await self.boundaries()
        assert any("runs/repair" in name for name in names), "no run was repaired"
        if damage is Damage.LOSE_ANSWERS:  # only calls that change something: clients wait before they repeat
            names = [name for name in names if name.startswith("POST ")]
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
    """One run of the scenario with its own Databricks, queue and database."""

    sweep: Sweep
    name: str

    @property
    def record(self) -> Path:
        """The file with the boundaries that its processes reached."""
        return self.sweep.folder / f"{self.name}.txt"

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
        options = Options(
            seed=1, pending_seconds=0, run_seconds=scenario.RUN_SECONDS, jobs=((JOB_ID, "/job"),)
        )
        simulator = Simulator(options, now=lambda: start + float(self.clock.read_text()))
        for rule in scenario.OUTCOMES:
            simulator.workspace.outcomes.add(parse_rule(rule))
        return simulator

    async def run(self, target: str | None, damage: Damage) -> None:
        """Run the scenario, break it at the target, continue with a new process, and check the result."""
        shutil.copy(self.sweep.template, self.database)
        self.clock.write_text("0")
        async with serving(make_app(self._simulator())) as url:
            environment = self._environment(url)
            code = await self._process(environment, target, damage)
            if code == -signal.SIGKILL:
                assert target is not None
                code = await self._process(environment, None, damage)
            assert code == 0, f"the process ended with {code}"
            runs = await _get(f"{url}/_sim/runs")
        assert target is None or target in self.record.read_text().splitlines(), "the boundary was not met"
        self._check(runs["runs"])

    def _environment(self, url: str) -> dict[str, str]:
        return {
            "AzureWebJobsStorage": self.sweep.azurite.connection_string,
            "SUBMIT_QUEUE_NAME": f"test-{uuid.uuid4().hex}",
            "TRIGGER_SCHEDULE": "0 * * * * *",
            "MONITOR_SCHEDULE": "0 * * * * *",
            "STATE_DB": str(self.database),
            scenario.CLOCK: str(self.clock),
            "DATABRICKS_HOST": url,
            "DATABRICKS_TOKEN": "token",
            "DATABRICKS_JOB_ID": str(JOB_ID),
            "MAX_ACTIVE_RUNS": str(scenario.CAP),
            "MAX_ATTEMPTS": str(scenario.MAX_ATTEMPTS),
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

    def _check(self, found: list[dict[str, Any]]) -> None:
        facts = invariants.gather(
            self.database,
            runs=found,
            cap=scenario.CAP,
            max_attempts=scenario.MAX_ATTEMPTS,
            by_hand=[run["run_id"] for run in found if run["parameters"].get("table_name") == "repaired"],
        )
        assert invariants.violations(facts) == []
        rows = {row["table_name"]: (row["status"], row["attempt"]) for row in facts.entries.values()}
        assert rows == scenario.EXPECTED
        runs, repairs = Counter[str](), Counter[str]()
        for run in facts.runs:
            table = run["parameters"]["table_name"]
            runs[table] += 1
            repairs[table] += len(run["parts"]) - 1
        assert runs == scenario.RUNS
        assert repairs == scenario.REPAIRS


async def _get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


@pytest.fixture
def sweep(tmp_path: Path, azurite: Azurite) -> Sweep:
    """Prepare a folder with the scenario's database and a fork server."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOAD)
    scenario.prepare(tmp_path / "template.db")
    return Sweep(folder=tmp_path, template=tmp_path / "template.db", azurite=azurite, processes=processes)


@pytest.mark.parametrize("damage", list(Damage))
async def test_every_boundary(
    sweep: Sweep, damage: Damage, record_property: Callable[[str, object], None]
) -> None:
    boundaries = await sweep.try_all(damage)
    assert boundaries > (10 if damage is Damage.LOSE_ANSWERS else 100), "the scenario has far more"
    record_property(FIGURE, f"boundaries swept, {damage}: {boundaries}")
