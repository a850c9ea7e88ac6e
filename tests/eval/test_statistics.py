"""Sufficient statistics are exactly what the items say, whatever was measured or not."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from eval.results import Result
from eval.statistics import arm_statistics, paired_statistics, scale_of
from eval.task import Item
from tunegate_core.records import Arm

Row = tuple[str, float | None, float | None]
score = st.one_of(st.none(), st.sampled_from([0.0, 1.0]), st.floats(-1e3, 1e3))
rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), score, score), min_size=1, max_size=40)


def parts(given_rows: Sequence[Row]) -> tuple[list[Item], list[Result], list[Result]]:
    items = [Item(str(n), "?", None, 0, cluster) for n, (cluster, _, _) in enumerate(given_rows)]
    return (
        items,
        [result(n, c) for n, (_, c, _) in enumerate(given_rows)],
        [result(n, r) for n, (_, _, r) in enumerate(given_rows)],
    )


def result(number: int, value: float | None) -> Result:
    return Result(id=str(number), score=value, reason="lost" if value is None else None)


def test_hand_made_records() -> None:
    items, ours, theirs = parts([("b", 1, 0), ("a", 1, 1), ("b", 0, 1), ("a", None, 1), ("c", None, None)])
    arm = arm_statistics("candidate", "sha256:x", items, ours)
    assert arm.clusters == ((1, 1.0, 1.0), (2, 1.0, 1.0), (0, 0.0, 0.0))  # a, then b; nothing of c was measured
    assert arm.unmeasured == {"lost": 2}
    pair = paired_statistics("base", "sha256:y", items, ours, theirs)
    assert [c.n for c in pair.clusters] == [1, 2, 0]
    assert [(c.candidate, c.reference, c.cross) for c in pair.clusters] == [(1, 1, 1), (1, 1, 0), (0, 0, 0)]
    assert pair.unmeasured == 2


@given(rows)
def test_sums_match_the_items(given_rows: list[Row]) -> None:
    items, ours, theirs = parts(given_rows)
    pair = paired_statistics("champion", "sha256:y", items, ours, theirs)
    both = [(c, r) for _, c, r in given_rows if c is not None and r is not None]
    assert sum(c.n for c in pair.clusters) == len(both) == len(items) - pair.unmeasured
    for name, values in {
        "candidate": [c for c, _ in both],
        "reference": [r for _, r in both],
        "cross": [c * r for c, r in both],
        "candidate_sq": [c * c for c, _ in both],
        "reference_sq": [r * r for _, r in both],
    }.items():
        assert math.isclose(sum(getattr(c, name) for c in pair.clusters), math.fsum(values), rel_tol=1e-9, abs_tol=1e-6)
    assert len(pair.clusters) == len({row[0] for row in given_rows})


@given(rows)
def test_nothing_is_lost_and_nothing_unmeasured_is_zero(given_rows: list[Row]) -> None:
    items, ours, _ = parts(given_rows)
    arm = arm_statistics("candidate", "sha256:x", items, ours)
    measured = [c for _, c, _ in given_rows if c is not None]
    assert sum(n for n, _, _ in arm.clusters) == len(measured)
    assert sum(arm.unmeasured.values()) == len(items) - len(measured)
    assert math.isclose(sum(s for _, s, _ in arm.clusters), math.fsum(measured), rel_tol=1e-9, abs_tol=1e-6)
    assert len(arm.clusters) == len({row[0] for row in given_rows})


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(given_rows: list[Row], random: object) -> None:
    shuffled = list(given_rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = parts(given_rows), parts(shuffled)
    assert paired_statistics("base", "y", *first) == paired_statistics("base", "y", *second)
    assert arm_statistics("base", "y", first[0], first[1]) == arm_statistics("base", "y", second[0], second[1])


def test_scale_is_binary_only_for_yes_and_no() -> None:
    yes: dict[Arm, Sequence[Result]] = {"candidate": (Result(id="0", score=1.0), Result(id="1", reason="lost"))}
    part: dict[Arm, Sequence[Result]] = {"candidate": (Result(id="0", score=0.5),)}
    assert scale_of(True, "real", yes) == "binary"
    assert scale_of(True, "real", part) == "real"
    assert scale_of(False, "share", yes) == "share"
