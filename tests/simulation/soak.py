"""Try random schedules for some minutes: ``python -m tests.simulation.soak --minutes 30``.

Each batch has a seed of its own, which also says who else acts (:mod:`tests.simulation.actors`). When a rule
is broken, Hypothesis looks for the shortest schedule that breaks it and prints it as a program; the seed
repeats the search: ``--seed N``.
"""

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.actors import ACTORS
from tests.simulation.machine import Simulation

#: In turn: nobody else, and each actor.
_MACHINES = (Simulation, *ACTORS)

#: Schedules per seed: a few seconds.
BATCH = 100


def try_batch(number: int, schedules: int = BATCH) -> tuple[int, int]:
    """Try the schedules of one seed and return the numbers of schedules and steps.

    :raises BaseException: a rule was broken; the error's notes hold the program.
    """
    logging.disable(logging.CRITICAL)  # the app logs a warning for every fault
    before = Simulation.schedules, Simulation.steps
    run_state_machine_as_test(
        seed(number)(_MACHINES[number % len(_MACHINES)]),
        settings=settings(
            max_examples=schedules,
            stateful_step_count=80,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Simulation.schedules - before[0], Simulation.steps - before[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Try schedules until the time is over or a rule is broken."""
    options = _arguments(argv)
    if options.seed is not None:
        try_batch(options.seed)
        return 0
    first = time.time_ns() % 2**32
    end = time.monotonic() + 60 * options.minutes
    schedules = steps = batches = 0
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        while time.monotonic() < end:
            seeds = range(first + batches, first + batches + options.processes)
            _say(f"schedules so far: {schedules}; now the seeds {seeds[0]} to {seeds[-1]}")
            for tried, found in zip(seeds, [pool.submit(try_batch, number) for number in seeds], strict=True):
                if error := found.exception():
                    _say(f"broken; to see it: python -m tests.simulation.soak --seed {tried}")
                    raise error
                schedules += found.result()[0]
                steps += found.result()[1]
            batches += options.processes
    _say(json.dumps({"schedules": schedules, "steps": steps, "first_seed": first, "seeds": batches}))
    _say("nothing lost")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="repeat one batch, here, and print what it finds")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
