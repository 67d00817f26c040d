"""The rates: what a bucket lets through, and what the API answers beyond it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.web.limits import Rate, Rates, _TokenBucket
from tests.fakes import SetClock
from tests.web.support import Site

RATES = st.builds(
    Rate, per_second=st.floats(min_value=0.01, max_value=1000), burst=st.integers(min_value=1, max_value=50)
)


@given(rate=RATES)
def test_a_burst_and_then_one_after_the_other(rate: Rate) -> None:
    clock = SetClock()
    bucket = _TokenBucket(rate, clock)
    assert [bucket.take() for _ in range(rate.burst)] == [0.0] * rate.burst
    for _ in range(3):
        wait = bucket.take()
        assert wait == pytest.approx(1 / rate.per_second, abs=1e-5)
        clock.now += wait / 2
        assert bucket.take() == pytest.approx(wait / 2, abs=1e-5), "a refusal puts nothing off"
        clock.now += wait / 2
        assert bucket.take() == 0.0


@given(rate=RATES, rest=st.floats(min_value=0, max_value=10_000))
def test_a_rest_gives_the_burst_back_and_no_more(rate: Rate, rest: float) -> None:
    clock = SetClock()
    bucket = _TokenBucket(rate, clock)
    while not bucket.take():
        pass
    clock.now += rest
    taken = 0
    while not bucket.take():
        taken += 1
    assert taken == pytest.approx(min(rate.burst, math.floor(rest * rate.per_second)), abs=1)
    assert taken <= rate.burst


@given(rate=RATES, gaps=st.lists(st.floats(min_value=0, max_value=5), max_size=200))
def test_never_more_than_the_burst_and_the_pace(rate: Rate, gaps: list[float]) -> None:
    clock = SetClock()
    bucket = _TokenBucket(rate, clock)
    began, taken = clock.now, 0
    for gap in gaps:
        clock.now += gap
        taken += not bucket.take()
        assert taken <= rate.burst + (clock.now - began) * rate.per_second + 1e-3


@pytest.mark.parametrize(
    ("method", "address", "rate"), [("GET", "history", Rates.READS), ("POST", "retry", Rates.CHANGES)]
)
async def test_api_says_when_to_come_again(site: Site, method: str, address: str, rate: Rate) -> None:
    clock = SetClock()
    slow = Rate(per_second=rate.per_second / 100, burst=3)
    site.serve(**{"reads" if rate is Rates.READS else "changes": slow}, monotonic=clock)
    body = {"filter": {"state": "DEAD"}} if method == "POST" else None
    statuses = [(await site.call(method, address, body))[0] for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = site.answers[-1]
    seconds = int(refused.headers["Retry-After"])
    assert (refused.content_type, seconds) == (
        "application/problem+json",
        math.ceil(100 / rate.per_second),
    )
    assert f"retry in {seconds} s" in json.loads(refused.content)["detail"]
    clock.now += seconds - 1
    assert (await site.call(method, address, body))[0] == 429
    clock.now += 1
    assert (await site.call(method, address, body))[0] == 200


async def test_reads_and_changes_are_counted_apart(site: Site) -> None:
    once = Rate(per_second=0.01, burst=1)
    site.serve(reads=once, changes=once, monotonic=SetClock())
    cancel = {"filter": {"state": "DEAD"}}
    assert (await site.call("GET", "history"))[0] == 200
    assert (await site.call("GET", "tables"))[0] == 429
    assert (await site.call("POST", "cancel", cancel))[0] == 200
    assert (await site.call("POST", "retry", cancel))[0] == 429
