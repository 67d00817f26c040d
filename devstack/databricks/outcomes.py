"""How simulated attempts go: the durations that were set, and the results that tests asked for."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

from devstack.databricks.errors import invalid
from devstack.databricks.results import (
    ENDS,
    LIBRARY_INSTALLATION_ERROR,
    NEVER_EXECUTED,
    OUTCOMES,
    SUCCESS,
    SUCCESSES,
    End,
)
from devstack.databricks.runs import Output, Plan

#: Simulated durations vary by up to this share in both directions, so that runs do not end in lockstep.
JITTER = 0.25


#: The error of a task that was asked to fail without one.
DEFAULT_ERROR = "SimulatedError: this run was asked to fail"


class Place(StrEnum):
    """Where the text of an error can be."""

    OUTPUT = "output"  #: ``error`` of ``runs/get-output``
    STATUS = "status"  #: ``tasks[].status.termination_details.message``
    STATE = "state"  #: ``tasks[].state.state_message``


@dataclass(kw_only=True)
class OutcomeRule:
    """Results for the attempts whose parameters match."""

    #: parameters that an attempt must have been given; empty matches every attempt
    match: Mapping[str, Any]
    #: None matches every task
    task_key: str | None
    #: the n-th matching attempt gets the n-th result; the last one repeats
    results: Sequence[str]
    #: the error's text, None = a text that depends on the result
    error: str | None
    error_trace: str
    #: where the error's text is, None = where Databricks has it for the result
    error_in: Sequence[Place] | None
    #: in place of the ``termination_details`` that follow from the result, empty = as they follow
    termination_code: str
    termination_type: str
    #: what the notebook returned by ``dbutils.notebook.exit``, None = it did not
    exit_value: str | None
    #: in place of the defaults, without jitter
    pending_seconds: float | None
    run_seconds: float | None
    used: int = 0

    def matches(self, arguments: Sequence[str], task_key: str) -> bool:
        """Whether an attempt with these arguments (``--key value``) is meant."""
        given = set(pairwise(arguments))
        wanted = {(f"--{key}", str(value)) for key, value in self.match.items()}
        return self.task_key in {None, task_key} and wanted <= given

    def output(self, result: str) -> Output:
        """What ``runs/get-output`` tells of an attempt with this result."""
        told = result not in SUCCESSES and Place.OUTPUT in self._places(result)
        error = (self.error or DEFAULT_ERROR) if told else ""
        trace = self.error_trace or f"Traceback (most recent call last):\n{error}"
        return Output(error=error, error_trace=trace if told else "", result=self.exit_value)

    def end(self, result: str) -> End:
        """How an attempt with this result ends."""
        usual, places = ENDS[result], self._places(result)
        end = replace(
            usual, code=self.termination_code or usual.code, type=self.termination_type or usual.type
        )
        if self.error is None or result in SUCCESSES or not {Place.STATUS, Place.STATE} & set(places):
            return end
        return replace(
            end,
            message=self.error if Place.STATUS in places else usual.message,
            state_message=self.error if Place.STATE in places else usual.message,
        )

    def _places(self, result: str) -> Sequence[Place]:
        if self.error_in is not None:
            return self.error_in
        if result == LIBRARY_INSTALLATION_ERROR:
            return (Place.STATUS,)
        return (Place.STATUS, Place.STATE) if result in NEVER_EXECUTED else (Place.OUTPUT,)

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
    places = body.get("error_in")
    if places is not None and (not isinstance(places, list) or any(p not in list(Place) for p in places)):
        raise invalid(f"error_in must be a list of: {', '.join(Place)}.")
    return OutcomeRule(
        match=match,
        task_key=_text(body, "task_key"),
        results=asked,
        error=_text(body, "error"),
        error_trace=_text(body, "error_trace") or "",
        error_in=None if places is None else [Place(place) for place in places],
        termination_code=_text(body, "termination_code") or "",
        termination_type=_text(body, "termination_type") or "",
        exit_value=_text(body, "exit_value"),
        pending_seconds=_seconds(body, "pending_seconds"),
        run_seconds=_seconds(body, "run_seconds"),
    )


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name} must be a text.")
    return value


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
            return Plan(pending_seconds=pending, run_seconds=usual, result=SUCCESS, end=ENDS[SUCCESS])
        result = rule.next_result()
        return Plan(
            pending_seconds=pending if rule.pending_seconds is None else rule.pending_seconds,
            run_seconds=running if rule.run_seconds is None else rule.run_seconds,
            result=result,
            end=rule.end(result),
            output=rule.output(result),
        )

    def _vary(self, seconds: float) -> float:
        return seconds * self._rng.uniform(1 - JITTER, 1 + JITTER)
