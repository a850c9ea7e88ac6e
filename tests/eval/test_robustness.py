"""Answers to a question and to another form of it, paired by question and counted by cluster."""

import pytest

from eval.results import ArmRun, Result
from eval.robustness import plain_task, robustness
from eval.task import Item, OpenTask
from tunegate_core.config import TaskBlock
from tunegate_core.records import Evidence, Robustness
from tunegate_core.stats import arm_interval, paired_interval

PLAIN = TaskBlock(name="plain", questions="q.jsonl")


def opened(name: str, items: list[Item]) -> OpenTask:
    return OpenTask(PLAIN.model_copy(update={"name": name}), tuple(items), {}, True, list)


def run(results: list[Result]) -> ArmRun:
    return ArmRun(key="k", prompts=("p",), results=tuple(results))


def item(name: str, choices: tuple[str, ...] | None, of: str | None = None) -> Item:
    return Item(name, "?", choices, 0, of or name, of=of)


def test_the_same_choice_counts_wherever_it_stands() -> None:
    plain = opened("plain", [item("a", ("x", "y")), item("b", ("x", "y")), item("c", ("x", "y"))])
    varied = opened("moved", [item("a", ("y", "x")), item("b", ("y", "x")), item("c", ("y", "x"))])
    before = [Result(id="a", score=1, answer=0), Result(id="b", score=0, answer=1), Result(id="c", reason="lost")]
    after = [Result(id="a", score=1, answer=1), Result(id="b", score=1, answer=1), Result(id="c", score=1, answer=1)]
    (found,) = robustness(varied, plain, {"candidate": run(after)}, {"candidate": run(before)})
    assert found.same == ((1, 1.0, 1.0), (1, 0.0, 0.0))
    assert (found.unmeasured, found.against) == (1, "plain")
    assert arm_interval(found.consistent(), "binary", 0.95).value == 0.5
    assert paired_interval(found.paired(), "binary", 0.95).value == 0.5


def test_paraphrases_of_a_question_are_one_cluster_each_against_it() -> None:
    plain = opened("plain", [item("a", None), item("b", None)])
    varied = opened("said", [item("a~1", None, "a"), item("a~2", None, "a"), item("b~1", None, "b")])
    before = [Result(id="a", score=1, answer="one"), Result(id="b", score=0, answer="two")]
    after = [
        Result(id="a~1", score=1, answer="other words"),
        Result(id="a~2", score=0, answer="wrong"),
        Result(id="b~1", score=0, answer="two"),
    ]
    (found,) = robustness(varied, plain, {"base": run(after)}, {"base": run(before)})
    assert found.same == ((2, 1.0, 1.0), (1, 1.0, 1.0))
    assert (found.clusters[0].n, found.clusters[0].candidate, found.clusters[0].reference) == (2, 1, 2)
    assert paired_interval(found.paired(), "binary", 0.95).value == pytest.approx(-1 / 3)


def test_a_variant_is_compared_with_what_else_is_the_same() -> None:
    typos = PLAIN.model_copy(update={"name": "slips", "variant": "typos"})
    said = PLAIN.model_copy(update={"name": "said", "variant": "paraphrase", "paraphrases": "p.jsonl"})
    other = PLAIN.model_copy(update={"name": "other", "questions": "r.jsonl"})
    assert plain_task(typos, [typos, other, said, PLAIN]) == "plain"
    assert plain_task(said, [typos, said, PLAIN]) == "plain"
    assert plain_task(typos, [typos, other, said]) is None
    assert plain_task(PLAIN, [PLAIN, other]) is None


def test_evidence_of_before_keeps_its_digest() -> None:
    fields = {"task": "t", "metric": "acc", "scale": "binary", "items": "i", "settings": "s", "n": 0, "samples": "x"}
    plain = Evidence.model_validate({**fields, "arms": (), "pairs": ()})
    assert "robustness" not in plain.model_dump()
    more = Robustness(arm="base", against="plain", clusters=(), same=(), unmeasured=0)
    assert plain.model_copy(update={"robustness": (more,)}).digest() != plain.digest()
