"""What a watch decides: by which samples, in which time, for which reason."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.canary.decision import Decision
from serving.canary.observation import READINGS, Arm, Observation
from serving.canary.outage import IN_A_ROW, Outage
from serving.canary.watch import Watch, basis_points, next_weight, stage_at
from tunegate_core.config.schema import CanaryBlock, StageBlock

START = 1_000_000.0
RULES = CanaryBlock(
    stages=(
        StageBlock(percent=10, min_minutes=10, min_samples=40, max_minutes=60),
        StageBlock(percent=50, min_minutes=20, min_samples=40, max_minutes=60),
    )
)


def good(arm: Arm, minute: float, unit: str | None) -> Observation:
    """A request without fault."""
    return Observation(arm, START + 60 * minute, unit, True, 200.0, 20.0, False, False, False)


def traffic(n: int, minutes: float = 9.0, first: int = 0, **of_canary: Any) -> list[Observation]:
    """`n` requests of as many units, every other one the canary's, in a window of `minutes`."""
    arms: tuple[Arm, Arm] = ("canary", "champion")
    plain = [good(arms[at % 2], minutes * at / n, f"u{first + at}") for at in range(n)]
    return [replace(seen, **of_canary) if seen.arm == "canary" else seen for seen in plain]


def decided(seen: Iterable[Observation], minute: float, weight_bp: int = 1000, rules: CanaryBlock = RULES) -> Decision:
    """The decision after all of it."""
    watch = Watch(rules, weight_bp, START)
    for one in seen:
        watch.see(one)
    return watch.decide(START + 60 * minute)


def test_enough_and_equal_advances_to_the_next_weight() -> None:
    found = decided(traffic(100), 10)
    assert (found.action, found.weight_bp, found.to_bp) == ("advance", 1000, 5000)
    assert "not measured: thumbs-down, score" in found.reason


def test_after_the_last_stage_it_gets_all() -> None:
    assert decided(traffic(100), 20, weight_bp=5000).to_bp == 10_000


def test_time_alone_is_not_enough() -> None:
    found = decided(traffic(60), 30)
    assert (found.action, found.to_bp) == ("hold", 1000)
    assert "errors: 30 of 40 samples" in found.reason


def test_samples_alone_are_not_enough() -> None:
    found = decided(traffic(400), 9)
    assert found.action == "hold"
    assert found.reason == "9 of 10 minutes"


def test_silence_ends_with_a_person() -> None:
    found = decided([], 61)
    assert (found.action, found.to_bp) == ("pause", 1000)
    assert "errors: 0 of 40 samples of the champion" in found.reason


@pytest.mark.parametrize("missing", ["ok", "ttft_ms", "refused", "empty", "truncated"])
def test_not_measured_is_no_success(missing: str) -> None:
    unmeasured = [replace(seen, **{missing: None}) for seen in traffic(400)]
    assert decided(unmeasured, 30).action == "hold"
    assert decided(unmeasured, 61).action == "pause"


def test_an_arm_that_is_not_measured_is_named() -> None:
    found = decided(traffic(400, ttft_ms=None), 30)
    assert found.reason == "ttft: 0 of 40 samples of the canary"


def test_what_comes_after_the_longest_time_does_not_help() -> None:
    late = [replace(seen, at=seen.at + 60 * 60) for seen in traffic(400, first=1000)]
    found = decided([*traffic(20), *late], 90)
    assert found.action == "pause"
    assert found.figures[0].canary.n == 210


def test_what_comes_after_the_longest_time_still_counts_against_it() -> None:
    late = [replace(seen, at=seen.at + 60 * 60) for seen in traffic(400, first=1000, ok=False)]
    assert decided([*traffic(20), *late], 90).action == "rollback"


def test_doubt_when_the_time_is_over_is_not_lifted_by_what_comes_later() -> None:
    block = traffic(20, first=200)
    doubtful = [
        *traffic(100),
        *[replace(seen, refused=seen.arm == "canary" and at < 12) for at, seen in enumerate(block)],
    ]
    assert "refusals: the canary may be worse" in decided(doubtful, 30).reason
    calming = [replace(seen, refused=seen.arm == "champion") for seen in traffic(100, first=1000)]
    late = [replace(seen, at=seen.at + 60 * 60) for seen in calming]
    assert decided([*doubtful, *calming], 30).action == "advance"
    assert decided([*doubtful, *late], 90).action == "pause"


@pytest.mark.parametrize(
    ("guard", "harm"),
    [
        ("errors", {"ok": False}),
        ("ttft", {"ttft_ms": 400.0}),
        ("itl", {"itl_ms": 30.0}),
        ("refusals", {"refused": True}),
        ("empty", {"empty": True}),
        ("truncated", {"truncated": True}),
    ],
)
def test_a_worse_canary_is_rolled_back_by_the_guard_that_saw_it(guard: str, harm: dict[str, Any]) -> None:
    found = decided(traffic(100, **harm), 2)
    assert (found.action, found.to_bp, found.guard) == ("rollback", 0, guard)
    assert found.reason.startswith(f"{guard}: ")
    figure = next(figure for figure in found.figures if figure.guard == guard)
    assert figure.evidence >= figure.enough


@pytest.mark.parametrize(
    ("guard", "fine", "harmed"),
    [("thumbs-down", {"thumb": 1}, {"thumb": -1}), ("score", {"score": 0.9}, {"score": 0.4})],
)
def test_what_is_only_watched_can_end_a_canary(guard: str, fine: dict[str, Any], harmed: dict[str, Any]) -> None:
    seen = [replace(one, **(harmed if one.arm == "canary" else fine)) for one in traffic(100)]
    assert decided(seen, 10).guard == guard
    assert decided([replace(one, **fine) for one in traffic(100)], 10).action == "advance"


def test_a_better_canary_advances() -> None:
    slow = [replace(seen, ttft_ms=900.0, refused=True) if seen.arm == "champion" else seen for seen in traffic(400)]
    assert decided(slow, 10).action == "advance"


def test_up_to_the_tolerance_is_equal() -> None:
    assert decided(traffic(4000, ttft_ms=219.0), 10).action == "advance"
    assert decided(traffic(4000, ttft_ms=221.0), 10).action == "rollback"


def test_one_caller_counts_once() -> None:
    """A thousand failures of one caller are one value, and no harm of the version."""
    one = [good("champion", 1, "u1"), good("canary", 1, "bad")]
    found = decided([*traffic(100), *[replace(one[1], ok=False, refused=True)] * 1000], 10)
    assert found.action == "advance"
    assert found.figures[0].canary.n == 51


def test_callers_that_are_unknown_count_each_time() -> None:
    found = decided([good("canary", 1, None)] * 30, 10)
    assert found.figures[0].canary.n == 30


def test_a_caller_counts_under_each_guard_when_it_is_first_measured() -> None:
    first = replace(good("canary", 1, "u"), ttft_ms=None)
    found = decided([first, good("canary", 2, "u"), good("canary", 3, "u")], 10)
    assert {figure.guard: figure.canary.n for figure in found.figures if figure.is_needed} == dict.fromkeys(
        RULES.needed, 1
    )


def test_what_came_before_the_stage_is_left_out() -> None:
    assert decided([good("canary", -0.1, "u")], 10).figures[0].canary.n == 0


def outage(units: int, champion_ok: int, champion_failed: int) -> list[Observation]:
    """The canary fails in a row while the champion does this."""
    failures = [replace(good("canary", 1, f"c{at % units}"), ok=False) for at in range(IN_A_ROW)]
    others = [replace(good("champion", 1, "p"), ok=at < champion_ok) for at in range(champion_ok + champion_failed)]
    return [failures[0], *others, *failures[1:]]


def test_a_canary_that_answers_nothing_is_rolled_back_though_callers_are_few() -> None:
    found = decided(outage(3, 10, 0), 2)
    assert (found.action, found.guard) == ("rollback", "errors")
    assert "in a row failed" in found.reason


@pytest.mark.parametrize(("units", "ok", "failed"), [(1, 20, 0), (2, 20, 0), (3, 9, 0), (3, 10, 10), (3, 0, 20)])
def test_no_outage_of_the_canary_alone(units: int, ok: int, failed: int) -> None:
    assert decided(outage(units, ok, failed), 2).action == "hold"


def test_an_answer_ends_a_row_of_failures() -> None:
    watched = Outage()
    for seen in [*outage(5, 10, 0)[:-1], good("canary", 1, "x"), *outage(5, 10, 0)[:-1]]:
        watched.see(seen)
    assert not watched.is_seen


mixed = st.lists(
    st.builds(
        Observation,
        arm=st.sampled_from(["canary", "champion"]),
        at=st.floats(START - 60, START + 4000),
        unit=st.none() | st.sampled_from([f"u{at}" for at in range(50)]),
        ok=st.none() | st.booleans(),
        ttft_ms=st.none() | st.floats(0, 1e6),
        refused=st.none() | st.booleans(),
        thumb=st.sampled_from([None, 1, -1]),
        score=st.none() | st.floats(0, 1),
    ),
    max_size=120,
)


@given(mixed, st.floats(0, 100))
def test_a_decision_is_a_record_that_repeats(seen: list[Observation], minute: float) -> None:
    found = decided(seen, minute)
    assert found == decided(seen, minute)
    assert Decision.parse(found.canonical()) == found
    assert found.to_bp == {"rollback": 0, "advance": 5000}.get(found.action, 1000)
    assert {figure.guard for figure in found.figures} == set(READINGS)


@given(mixed)
def test_looking_often_changes_nothing(seen: list[Observation]) -> None:
    often = Watch(RULES, 1000, START)
    for one in seen:
        often.see(one)
        often.decide(one.at)
    assert often.decide(START + 6000) == decided(seen, 100)


@given(mixed, st.floats(0, 100))
def test_nothing_advances_without_its_samples(seen: list[Observation], minute: float) -> None:
    found = decided(seen, minute)
    fewest = min(min(figure.canary.n, figure.champion.n) for figure in found.figures if figure.is_needed)
    assert found.action != "advance" or fewest >= 40


@given(st.integers(1, 9999))
def test_weights_only_rise(weight_bp: int) -> None:
    rules = CanaryBlock()
    assert weight_bp < next_weight(rules, weight_bp) <= 10_000
    assert basis_points(stage_at(rules, weight_bp)) <= max(weight_bp, 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": []},
        {"stages": [{"percent": 20}, {"percent": 10}]},
        {"stages": [{"percent": 10}, {"percent": 10}]},
        {"stages": [{"percent": 100}]},
        {"stages": [{"percent": 0.001}]},
        {"stages": [{"percent": 10, "min_minutes": 60, "max_minutes": 60}]},
        {"needed": []},
        {"needed": ["errors"], "watched": ["errors"]},
        {"needed": ["speed"]},
        {"alpha": 0},
        {"tolerance": -0.1},
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CanaryBlock.model_validate(wrong)


def test_weights_are_basis_points() -> None:
    for percent in (0.01, 0.29, 1, 12.5, 99.99):
        assert basis_points(StageBlock(percent=percent)) == round(percent * 100)


def test_alpha_is_shared_out() -> None:
    found = decided([], 1)
    assert {figure.enough for figure in found.figures} == {round(math.log10(2 * 8 / 0.05), 6)}
