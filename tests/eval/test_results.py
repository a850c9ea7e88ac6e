"""What could not be measured has a reason and no score; runs that were asked differently are not compared."""

import math
from pathlib import Path
from typing import Any

import pytest

from eval.results import (
    CUT_OFF,
    EMPTY,
    NOT_FINITE,
    NOT_PARSED,
    REFUSED,
    TOO_LONG,
    ArmRun,
    Result,
    keep,
    read_run,
    read_sample,
    recall,
    samples_json,
    verify_same_prompts,
)
from eval.task import Item
from tunegate_core.errors import IntegrityError, StoreFault

CHOICE = Item("q0", "Who?", ("a", "a long one"), 0, "c")
TEXT = Item("q1", "Who?", None, "he", "c")


class Fits:
    """A model with room for `room` characters. `cut`: whether its answers reach the most tokens they may have."""

    max_gen_toks = 10

    def __init__(self, room: int = 1000, cut: bool = False):
        self.room, self.cut = room, cut

    def fits(self, prompt: str, answer: str, room: int) -> bool:
        return len(prompt) + len(answer) + room <= self.room

    def is_cut(self, prompt: str, settings: Any) -> bool:
        return self.cut and (prompt, settings) == ("prompt", {"max_gen_toks": 4})


def chosen(*likelihoods: float, score: float | None = 1.0) -> dict[str, Any]:
    return {
        "doc_hash": "d",
        "arguments": [("prompt", "a"), ("prompt", "a long one")],
        "filtered_resps": [(value, False) for value in likelihoods],
        "acc": score,
        "acc_norm": score,
    }


def told(text: Any, score: float = 0.0, said: str | None = None) -> dict[str, Any]:
    """`said`: the answer before the task's filter, if that changed it."""
    arguments = [("prompt", {"max_gen_toks": 4})]
    whole = {"resps": [[str(text) if said is None else said]], "filtered_resps": [text]}
    return {"doc_hash": "d", "arguments": arguments, **whole, "exact_match": score}


def test_the_choice_is_the_most_likely() -> None:
    assert read_sample(CHOICE, chosen(-1.0, -2.0), "acc", Fits()) == Result(id="q0", score=1.0, answer=0)
    assert read_sample(CHOICE, chosen(-1.0, -2.0), "acc_norm", Fits()).answer == 1  # -2 over ten letters


@pytest.mark.parametrize("likelihoods", [(math.nan, -1.0), (-1.0, -math.inf)])
def test_scores_that_are_not_finite_are_not_measured(likelihoods: tuple[float, float]) -> None:
    assert read_sample(CHOICE, chosen(*likelihoods), "acc", Fits()) == Result(id="q0", reason=NOT_FINITE)


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_score_that_is_no_number_is_not_measured(score: float | None) -> None:
    result = read_sample(CHOICE, chosen(-1.0, -2.0, score=score), "acc", Fits())
    assert (result.score, result.reason) == (None, NOT_FINITE)


@pytest.mark.parametrize(("text", "reason"), [("[invalid]", NOT_PARSED), (" \n", EMPTY), (["", "x"], EMPTY)])
def test_answers_that_say_nothing_are_not_measured(text: Any, reason: str) -> None:
    result = read_sample(TEXT, told(text), "exact_match,strict", Fits())
    assert (result.score, result.reason) == (None, reason)


def test_a_wrong_answer_is_zero() -> None:
    assert read_sample(TEXT, told("she"), "exact_match", Fits()) == Result(id="q1", score=0.0, answer="she")


def test_answers_that_decline_or_were_cut_off_are_marked() -> None:
    no = "I'm sorry, I can't say."
    found = {
        (said, cut): read_sample(TEXT, told(said), "exact_match", Fits(cut=cut)).doubts
        for said in ("she", no)
        for cut in (False, True)
    }
    assert found == {
        ("she", False): (),
        ("she", True): (CUT_OFF,),
        (no, False): (REFUSED,),
        (no, True): (REFUSED, CUT_OFF),
    }
    assert read_sample(CHOICE, chosen(-1.0, -2.0), "acc", Fits(cut=True)).doubts == ()


def test_an_answer_that_can_not_be_read_because_it_declines_or_was_cut_off_says_so() -> None:
    reasons = [
        read_sample(TEXT, told("[invalid]", said=said), "exact_match", Fits(cut=cut)).reason
        for said, cut in (("so 9 times", True), ("Sorry, no.", True), ("Sorry, no.", False), ("so 9 times", False))
    ]
    assert reasons == [CUT_OFF, REFUSED, REFUSED, NOT_PARSED]
    empty = read_sample(TEXT, told(" "), "exact_match", Fits(cut=True))
    assert (empty.reason, empty.doubts) == (EMPTY, ())


def test_prompts_that_would_be_cut_are_not_measured() -> None:
    assert read_sample(CHOICE, chosen(-1.0, -2.0), "acc", Fits(15)) == Result(id="q0", reason=TOO_LONG)
    assert read_sample(TEXT, told("he"), "exact_match", Fits(9)).reason == TOO_LONG
    assert read_sample(TEXT, told("he"), "exact_match", Fits(10)).reason is None


def run_of(prompt: str = "prompt", key: str = "k") -> ArmRun:
    sample = chosen(-1.0, -2.0)
    sample["arguments"] = [(prompt, "a"), (prompt, "b")]
    return read_run([CHOICE], [sample], "acc", key, Fits())


def test_arms_that_were_asked_differently_are_not_compared() -> None:
    verify_same_prompts("facts", {"candidate": run_of(), "base": run_of()})
    with pytest.raises(IntegrityError, match=r"candidate and champion were not asked the same .item q0"):
        verify_same_prompts("facts", {"candidate": run_of(), "base": run_of(), "champion": run_of("other prompt")})


def test_other_documents_are_other_prompts() -> None:
    run = run_of()
    other = read_run([CHOICE], [{**chosen(-1.0, -2.0), "doc_hash": "e"}], "acc", "k", Fits())
    with pytest.raises(IntegrityError, match="were not asked the same"):
        verify_same_prompts("facts", {"candidate": run, "base": other})


def test_as_many_samples_as_items() -> None:
    with pytest.raises(IntegrityError, match="2 items were planned, but 1 were scored"):
        read_run([CHOICE, TEXT], [chosen(-1.0, -2.0)], "acc", "k", Fits())


def test_a_kept_run_is_recalled(tmp_path: Path) -> None:
    path = tmp_path / "scores" / "x.json"
    assert recall(path, "k", [CHOICE]) is None
    keep(path, run_of())
    assert recall(path, "k", [CHOICE]) == run_of()
    assert recall(path, "other", [CHOICE]) is None
    assert recall(path, "k", [TEXT]) is None
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "digest"])
def test_a_damaged_run_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.json"
    keep(path, run_of())
    data = path.read_bytes()
    changed = {
        "cut": data[:-5],
        "flip": data.replace(b'"score":1', b'"score":0'),
        "empty": b"",
        "digest": b"\xff" + data[1:],
    }
    path.write_bytes(changed[damage])
    assert changed[damage] != data
    assert recall(path, "k", [CHOICE]) is None


def test_a_run_that_can_not_be_kept(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("in the way")
    with pytest.raises(StoreFault, match="can't keep the scores"):
        keep(tmp_path / "scores" / "x.json", run_of())


def test_a_doubt_stands_in_the_per_item_records() -> None:
    run = ArmRun(key="k", prompts=("p",), results=(Result(id="q1", score=0.0, answer="h", doubts=(CUT_OFF,)),))
    (row,) = samples_json("t", "contains", [TEXT], {"base": run})["items"]
    assert row["arms"]["base"] == {"answer": "h", "measured": True, "score": 0.0, "doubt": CUT_OFF}


def test_per_item_records() -> None:
    lost = ArmRun(key="k", prompts=("p",), results=(Result(id="q0", reason=NOT_FINITE),))
    assert samples_json("facts", "acc", [CHOICE], {"candidate": run_of(), "base": lost}) == {
        "task": "facts",
        "metric": "acc",
        "items": [
            {
                "id": "q0",
                "cluster": "c",
                "arms": {
                    "candidate": {"answer": 0, "measured": True, "score": 1.0},
                    "base": {"answer": None, "measured": False, "reason": NOT_FINITE},
                },
            }
        ],
    }
