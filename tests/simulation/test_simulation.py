"""A fixed set of schedules, the same each time; ``make soak`` tries others, and more."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import FIGURE
from tests.simulation.actors import ACTORS
from tests.simulation.machine import Simulation

SCHEDULES = 200
SCHEDULES_OF_EACH_ACTOR = 25


@pytest.mark.timeout(400)
def test_rules_hold_in_every_schedule(record_property: Callable[[str, object], None]) -> None:
    _run(Simulation, SCHEDULES)
    record_property(FIGURE, f"simulated schedules: {Simulation.schedules}, steps: {Simulation.steps}")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("actor", ACTORS, ids=lambda actor: actor.__name__)
def test_rules_hold_whoever_else_acts(actor: type[Simulation]) -> None:
    _run(actor, SCHEDULES_OF_EACH_ACTOR)


def _run(machine: type[Simulation], schedules: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # the soak, which has the time, shrinks failures
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
