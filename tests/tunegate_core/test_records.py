"""Records are frozen, strict, have one canonical form, and read back as they were."""

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tunegate_core import records
from tunegate_core.canonical import digest
from tunegate_core.errors import IntegrityError
from tunegate_core.records import ArmStatistics, Cluster, Interval, Record, RowCounts

KINDS = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if issubclass(kind, Record)]
COUNTS = dict.fromkeys(RowCounts.model_fields, 1)
FINITE = st.floats(min_value=-1e9, max_value=1e9)
CLUSTERS = st.builds(
    Cluster,
    n=st.integers(0, 10**6),
    candidate=FINITE,
    reference=FINITE,
    cross=FINITE,
    candidate_sq=FINITE,
    reference_sq=FINITE,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_record_is_frozen_and_strict(kind: type[Record]) -> None:
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"
    assert kind.model_config.get("allow_inf_nan") is False


@given(CLUSTERS)
def test_a_record_reads_back(cluster: Cluster) -> None:
    again = Cluster.parse(cluster.canonical())
    assert again == cluster
    assert again.digest() == cluster.digest() == digest(cluster.canonical())


@given(
    st.lists(st.tuples(st.integers(0, 9), FINITE, FINITE), max_size=4),
    st.dictionaries(st.text("ab"), st.integers(0, 9)),
)
def test_a_nested_record_reads_back(clusters: list[tuple[int, float, float]], unmeasured: dict[str, int]) -> None:
    arm = ArmStatistics(arm="base", subject="sha256:x", clusters=tuple(clusters), unmeasured=unmeasured)
    assert ArmStatistics.parse(arm.canonical()).digest() == arm.digest()


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert RowCounts(**COUNTS).digest() == RowCounts(**dict(reversed(COUNTS.items()))).digest()
    assert RowCounts(**COUNTS).digest() != RowCounts(**{**COUNTS, "kept": 2}).digest()


def test_a_record_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RowCounts(**COUNTS).kept = 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b'{"read":1}',
        json.dumps({**COUNTS, "extra": 1}).encode(),
        json.dumps({**COUNTS, "kept": -1}).encode(),
        json.dumps({**COUNTS, "kept": 1.5}).encode(),
        json.dumps({**COUNTS, "kept": None}).encode(),
    ],
    ids=["nothing", "null", "list", "no text", "missing", "extra", "negative", "fraction", "not measured"],
)
def test_bytes_that_are_no_such_record_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no valid RowCounts"):
        RowCounts.parse(data)


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-Infinity"])
def test_a_figure_is_finite_or_not_measured(figure: str) -> None:
    fields = '"low":null,"high":null,"confidence":0.95,"n":0,"clusters":0,"method":"none"'
    assert Interval.parse(f'{{"value":null,{fields}}}'.encode()).value is None
    with pytest.raises(IntegrityError):
        Interval.parse(f'{{"value":{figure},{fields}}}'.encode())
    with pytest.raises(ValidationError):
        Interval(value=float(figure), low=None, high=None, confidence=0.95, n=0, clusters=0, method="none")


OLD_EVIDENCE = (
    b'{"arms":[{"arm":"candidate","clusters":[[2,1,1]],"subject":"a","unmeasured":{}},{"arm":"base","clusters":'
    b'[[2,2,2]],"subject":"b","unmeasured":{}}],"higher_is_better":true,"items":"i","metric":"acc","n":2,"pairs":'
    b'[{"clusters":[{"candidate":1,"candidate_sq":1,"cross":1,"n":2,"reference":2,"reference_sq":2}],"reference":'
    b'"base","reference_subject":"b","unmeasured":0}],"samples":"x","scale":"binary","settings":"s","task":"t"}'
)
OLD_VERDICT = (
    b'{"attempt":1,"evidence":["sha256:df735feadd081df12a0a97beded119dce973103206964b5f2f657a2215747eea"],"figures":[],'
    b'"outcome":"PASS","policy":"p","results":[{"check":"c","detectable":null,"interval":null,"items_to_settle":null,'
    b'"outcome":"PASS","reason":"r","threshold":null}],"subject":"a"}'
)


def test_a_figure_without_doubts_has_the_form_it_had() -> None:
    interval = Interval(value=0.5, low=None, high=None, confidence=0.95, n=2, clusters=2, method="none")
    figure = records.Figure(task="t", metric="acc", arm="base", interval=interval, unmeasured={})
    assert b"doubtful" not in figure.canonical()
    assert b'"doubtful":{"cut off":2}' in figure.model_copy(update={"doubtful": {"cut off": 2}}).canonical()


@pytest.mark.parametrize(
    ("kind", "stored", "digest_then"),
    [
        (records.Evidence, OLD_EVIDENCE, "sha256:df735feadd081df12a0a97beded119dce973103206964b5f2f657a2215747eea"),
        (records.Verdict, OLD_VERDICT, "sha256:e567d5505bd3876d461783a67e1d06621a83f97e57c201a9b13a762fdf536d44"),
    ],
)
def test_what_was_stored_before_groups_keeps_its_digest(kind: type[Record], stored: bytes, digest_then: str) -> None:
    found = kind.parse(stored)
    assert found.canonical() == stored
    assert found.digest() == digest(stored) == digest_then


def test_groups_are_part_of_the_digest_where_there_are_some() -> None:
    old = records.Evidence.parse(OLD_EVIDENCE)
    group = records.GroupStatistics(column="plan", value="home", n=2, clusters=(0,), arms=old.arms, pairs=old.pairs)
    new = old.model_copy(update={"groups": (group,)})
    assert new.digest() != old.digest()
    assert records.Evidence.parse(new.canonical()) == new
