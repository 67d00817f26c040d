"""The benchmark of rate limits runs, and the app keeps near a workspace's limit without many refusals."""

from benchmarks import rate_limits
from benchmarks.simulated import clock


def test_each_size_is_measured() -> None:
    table = rate_limits.compare(((1, 30), (2, 30)))
    assert [row[:2] for row in table.rows] == [["1", "30"], ["2", "30"]]


def test_three_instances_together_learn_the_rate() -> None:
    """In simulated time, so that how busy this machine is has hardly a say."""
    found = clock.run(rate_limits._submit(3, 1500))
    assert found.accepted + found.postponed == 1500
    assert found.accepted / found.seconds > 0.9 * rate_limits.RATE
    assert found.refused_late < 0.02 * found.accepted_late
