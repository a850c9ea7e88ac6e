"""Agreement against published tables; annotators at chance at the stated rates; clear answers where there is little."""

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.feedback.agreement import Measure, agreement, alpha, alpha_of, by_unit, cohen, fleiss
from eval.feedback.annotators import annotators
from eval.feedback.units import Label


def bounds(measure: Measure) -> Any:
    return measure.interval.low, measure.interval.value, measure.interval.high


def labels(rows: Mapping[str, Sequence[int | None]]) -> list[Label]:
    """author -> a label for each unit."""
    return [
        Label(str(unit), author, value)
        for author, told in rows.items()
        for unit, value in enumerate(told)
        if value is not None
    ]


def shared(found: list[Label]) -> dict[str, dict[str, int]]:
    return {unit: told for unit, told in by_unit(found).items() if len(told) > 1}


def canonical(expected_values: dict[str, Any]) -> dict[str, dict[str, int]]:
    rows = [row.split() for row in expected_values["krippendorff_canonical"]["data"]]
    told = {str(author): [None if cell == "*" else int(cell) for cell in row] for author, row in enumerate(rows)}
    return shared(labels(told))


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_alpha_is_krippendorffs(expected_values: dict[str, Any], level: Any) -> None:
    measure = alpha(canonical(expected_values), level)
    assert measure.interval.value == pytest.approx(expected_values["krippendorff_canonical"][level], abs=5e-4)
    low, value, high = bounds(measure)
    assert low < value < high


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_resamples_are_weighed_as_the_library_does(expected_values: dict[str, Any], level: Any) -> None:
    import numpy as np

    told = canonical(expected_values)
    counts = np.array([[list(row.values()).count(value) for value in (1, 2, 3, 4)] for row in told.values()])
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(4, dtype=int) * counts[:, :, None]
    whole = (pairs / (counts.sum(axis=1) - 1)[:, None, None]).sum(axis=0)
    assert alpha_of(whole, level) == pytest.approx(alpha(told, level).interval.value, abs=1e-12)


def test_the_order_in_which_people_said_it_does_not_matter() -> None:
    chance = random.Random(6)
    told = labels({author: [chance.choice((1, 2, 2, 3)) for _ in range(12)] for author in ("ann", "ben", "eva")})
    mixed = list(told)
    chance.shuffle(mixed)
    assert agreement("rating", "ordinal", mixed) == agreement("rating", "ordinal", told)


@pytest.fixture(scope="module")
def validation(test_data: Path) -> list[Label]:
    """BBQ's human validation: five answers to each of 300 questions, by fifteen people."""
    found = []
    with (test_data / "bbq/human_validation/validations_finalval.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for q in range(1, 6):
                unit = f"{row[f'q{q}_cat']}|{row[f'q{q}_uid']}"
                if row[f"q{q}_ex_id"] != "NA":  # the paper's sample; fifty more questions were asked besides
                    found.append(Label(unit, row["anon_id"], int(row[f"Answer.q{q}"][-1])))
    return found


def test_alpha_of_bbqs_validation(validation: list[Label], expected_values: dict[str, Any]) -> None:
    found = agreement("preference", "nominal", validation)
    want = expected_values["bbq_human_validation"]
    assert found.units == found.shared == want["n_items"]
    assert len(found.annotators) == want["n_workers"]
    assert found.alpha.interval.value == pytest.approx(want["krippendorff_alpha_nominal"], abs=5e-4)
    assert {one.standing for one in found.annotators} <= {"agrees", "too little to tell"}


def test_somebody_at_random_is_found_among_bbqs_annotators(validation: list[Label]) -> None:
    worker = max({label.author for label in validation}, key=lambda a: sum(x.author == a for x in validation))
    draws = random.Random(3)
    spoilt = [
        Label(label.unit, label.author, draws.randrange(3)) if label.author == worker else label for label in validation
    ]
    flagged = [one.author for one in annotators(by_unit(spoilt)) if one.standing == "like chance"]
    assert flagged == [worker]


def test_kappas_of_a_table_done_by_hand() -> None:
    """Fleiss (1971) reduces to 1 - disagreement over chance; Cohen's example: 20, 5, 10, 15 of 50 give 0.4."""
    both = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    told = shared(labels({"x": [a for a, _ in both], "y": [b for _, b in both]}))
    (pair,) = cohen(told)
    assert pair.measure.interval.value == pytest.approx(0.4)
    low, _, high = bounds(pair.measure)
    assert low < 0.4 < high
    ones = (25 + 30) / 100  # Fleiss: chance from both together
    chance = ones**2 + (1 - ones) ** 2
    assert fleiss(told).interval.value == pytest.approx((0.7 - chance) / (1 - chance))


def test_stated_error_rates_hold() -> None:
    """Somebody at random is said to agree in at most 5 % of cases; somebody like the others is flagged in about 5 %."""
    draws = random.Random(11)
    runs, units, right = 60, 60, 0.75
    wrongly_agrees = wrongly_flagged = 0
    for _ in range(runs):
        truth = [draws.randrange(2) for _ in range(units)]
        careful = {f"c{n}": [t if draws.random() < right else 1 - t for t in truth] for n in range(4)}
        told = by_unit(labels({**careful, "dice": [draws.randrange(2) for _ in truth]}))
        standing = {one.author: one.standing for one in annotators(told)}
        wrongly_agrees += standing["dice"] == "agrees"
        wrongly_flagged += standing["c0"] == "like chance"
    assert wrongly_agrees <= 0.05 * runs + 3 * (runs * 0.05 * 0.95) ** 0.5
    assert wrongly_flagged <= 0.05 * runs + 3 * (runs * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize(
    "rows",
    [{}, {"one": [1]}, {"one": [1], "two": [None, 1]}, {"one": [1], "two": [1]}, {"one": [1], "two": [0]}],
    ids=["nobody", "one item", "nothing shared", "one shared", "one disagreement"],
)
def test_little_is_answered_clearly(rows: Mapping[str, Sequence[int | None]]) -> None:
    found = agreement("thumb", "nominal", labels(rows))
    for measure in (found.alpha, found.fleiss):
        assert (measure.interval is None) == (measure.why is not None)
        assert measure.interval is None or measure.interval.low is None
    assert all(one.standing == "too little to tell" for one in found.annotators)
    assert all(one.measure.why for one in found.cohen)


def test_who_always_says_the_same_is_at_chance() -> None:
    truth = [unit % 2 for unit in range(60)]
    told = by_unit(labels({"x": truth, "y": truth, "z": [1] * 60}))
    assert {one.author: one.standing for one in annotators(told)}["z"] == "like chance"
    same = by_unit(labels({"x": [1] * 60, "y": [1] * 60, "z": [1] * 60}))
    assert {one.standing for one in annotators(same)} == {"too little to tell"}
