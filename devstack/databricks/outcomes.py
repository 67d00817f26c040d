"""How simulated attempts go: the durations that were set, and the results that tests asked for."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from devstack.databricks.errors import invalid
from devstack.databricks.results import OUTCOMES, SUCCESS, SUCCESSES
from devstack.databricks.runs import Output, Plan

#: Simulated durations vary by up to this share in both directions, so that runs do not end in lockstep.
JITTER = 0.25


@dataclass(kw_only=True)
class OutcomeRule:
    """Results for the attempts whose parameters match."""

    #: parameters that an attempt must have been given; empty matches every attempt
    match: Mapping[str, Any]
    #: None matches every task
    task_key: str | None
    #: the n-th matching attempt gets the n-th result; the last one repeats
    results: Sequence[str]
    error: str
    error_trace: str
    #: in place of the defaults, without jitter
    pending_seconds: float | None
    run_seconds: float | None
    used: int = 0

    def matches(self, arguments: Sequence[str], task_key: str) -> bool:
        """Whether an attempt with these arguments (``--key value``) is meant."""
        given = set(pairwise(arguments))
        wanted = {(f"--{key}", str(value)) for key, value in self.match.items()}
        return self.task_key in {None, task_key} and wanted <= given

    def next_result(self) -> str:
        """The result of the next matching attempt."""
        result = self.results[min(self.used, len(self.results) - 1)]
        self.used += 1
        return result


def parse_rule(body: Mapping[str, Any]) -> OutcomeRule:
    """Read a rule. :raises ApiError: it cannot be used."""
    match, asked = body.get("match", {}), body.get("results", [SUCCESS])
    if not isinstance(match, dict):
        raise invalid("match must be an object.")
    if not isinstance(asked, list) or not asked or any(result not in list(OUTCOMES) for result in asked):
        raise invalid(f"results must be a list of at least one of: {', '.join(sorted(OUTCOMES))}.")
    return OutcomeRule(
        match=match,
        task_key=body.get("task_key"),
        results=asked,
        error=str(body.get("error", "SimulatedError: this run was asked to fail")),
        error_trace=str(body.get("error_trace", "")),
        pending_seconds=_seconds(body, "pending_seconds"),
        run_seconds=_seconds(body, "run_seconds"),
    )


def _seconds(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise invalid(f"{name} must be a number of seconds, 0 or more.")
    return float(value)


class Outcomes:
    """The rules, newest first, and what applies when none matches: success after the default durations."""

    def __init__(self, *, pending_seconds: float, run_seconds: float, rng: random.Random) -> None:
        self._pending_seconds = pending_seconds
        self._run_seconds = run_seconds
        self._rng = rng
        self._rules: list[OutcomeRule] = []

    def add(self, rule: OutcomeRule) -> None:
        """Let a rule decide before all earlier ones."""
        self._rules.insert(0, rule)

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def plan(self, arguments: Sequence[str], task_key: str, *, run_seconds: float | None = None) -> Plan:
        """Decide how the next attempt of a task with these arguments (``--key value``) goes.

        :param run_seconds: how long it executes when no rule matches, None = the default duration.
        """
        pending, running = self._vary(self._pending_seconds), self._vary(self._run_seconds)
        rule = next((rule for rule in self._rules if rule.matches(arguments, task_key)), None)
        if rule is None:
            usual = running if run_seconds is None else run_seconds
            return Plan(pending_seconds=pending, run_seconds=usual, result=SUCCESS)
        result = rule.next_result()
        trace = rule.error_trace or f"Traceback (most recent call last):\n{rule.error}"
        return Plan(
            pending_seconds=pending if rule.pending_seconds is None else rule.pending_seconds,
            run_seconds=running if rule.run_seconds is None else rule.run_seconds,
            result=result,
            output=Output() if result in SUCCESSES else Output(error=rule.error, error_trace=trace),
        )

    def _vary(self, seconds: float) -> float:
        return seconds * self._rng.uniform(1 - JITTER, 1 + JITTER)
