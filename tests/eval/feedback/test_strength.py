"""Bradley-Terry against the published table of citations; win rates against Wilson; ties, chains and clusters."""

from typing import Any

import pytest

from eval.feedback.strength import bradley_terry, win_rates
from eval.feedback.units import Match


def match(prompt: object, score: float, a: str = "bot", b: str = "base", author: str = "ann") -> Match:
    return Match(str(prompt), author, a, b, score)


def test_bradley_terry_of_the_citations(expected_values: dict[str, Any]) -> None:
    """Stigler 1994: four journals, who cites whom."""
    table = expected_values["bradley_terry_citations"]
    names, found = table["journals"], []
    for i, winner in enumerate(names):
        for j, loser in enumerate(names):
            count = table["wins"][i][j] if i != j else 0
            found += [match(f"{i}-{j}-{n}", 1, winner, loser) for n in range(count)]
    strengths = bradley_terry(found, names[0])
    by_name = {one.system: one for one in strengths.systems}
    assert [by_name[name].value for name in names] == pytest.approx(table["coef"], abs=1e-5)
    assert [by_name[name].se for name in names[1:]] == pytest.approx(table["se"][1:], abs=1e-5)
    assert strengths.reference == names[0] and strengths.systems[0].system == "JRSS-B"


def test_a_tie_is_half_a_win() -> None:
    decided = [match(n, n % 2) for n in range(40)]
    tied = [match(n, 0.5) for n in range(40)]
    assert bradley_terry(decided).systems[0].value == pytest.approx(0, abs=1e-9)
    assert bradley_terry(tied).systems[0].value == pytest.approx(0, abs=1e-9)
    mixed = bradley_terry([*(match(n, 1) for n in range(30)), *(match(n, 0.5) for n in range(30, 60))], "base")
    import math

    assert mixed.systems[0].value == pytest.approx(math.log(0.75 / 0.25))


def test_the_same_prompt_often_is_no_more_prompts() -> None:
    """Five people who say the same of each prompt know no more prompts than one of them."""
    one = [match(n, float(n % 3 > 0)) for n in range(60)]
    five = [match(n, float(n % 3 > 0), author=f"a{k}") for n in range(60) for k in range(5)]
    alone, together = bradley_terry(one, "base").systems[0], bradley_terry(five, "base").systems[0]
    assert together.value == pytest.approx(alone.value)
    assert together.se == pytest.approx(alone.se, rel=0.02)
    assert bradley_terry(five).method == "clustered by prompt"
    (rate,), (wide,) = win_rates(one), win_rates(five)
    assert rate.interval.value == wide.interval.value == pytest.approx(2 / 3)
    assert wide.interval.low == pytest.approx(rate.interval.low, abs=0.005)


def test_no_chain_of_wins_no_scale() -> None:
    always = [match(n, 1) for n in range(20)]
    found = bradley_terry(always)
    assert not found.systems and "base" in str(found.why) and "bot" in str(found.why)
    apart = [match(n, n % 2, a, b) for n in range(8) for a, b in (("p", "q"), ("r", "s"))]
    assert "p, q; r, s" in str(bradley_terry(apart).why)
    assert bradley_terry([]).why == "nobody was compared"


def test_win_rate_is_wilsons() -> None:
    from statsmodels.stats.proportion import proportion_confint

    (rate,) = win_rates([match(n, float(n < 30)) for n in range(40)])
    low, high = proportion_confint(30, 40, alpha=0.1, method="wilson")
    assert (rate.wins, rate.ties, rate.losses, rate.prompts) == (30, 0, 10, 40)
    assert [rate.interval.low, rate.interval.high] == pytest.approx([low, high])


def test_one_comparison_has_no_interval() -> None:
    (rate,) = win_rates([match(1, 1)])
    assert rate.interval.low is None
    (tied,) = win_rates([match(n, 0.5) for n in range(30)])
    assert tied.interval.low is None and tied.ties == 30
