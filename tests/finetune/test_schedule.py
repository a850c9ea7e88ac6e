"""The rate of learning rises to its peak and falls as the schedule says."""

import math

import pytest

from finetune.schedule import rate_at


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_warms_up_and_decays(schedule: str) -> None:
    rates = [rate_at(step, 20, schedule, 0.2) for step in range(20)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert all(math.isfinite(rate) and 0 <= rate <= 1 for rate in rates)
