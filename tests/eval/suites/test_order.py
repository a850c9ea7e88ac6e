"""What no suite's figures may hang on: the order of the rows."""

import random
from typing import Any

import pytest

from eval.suites import bbq, counterfactual, crows_pairs, decisions, stereoset, winobias

GENERATOR = random.Random(8)
WORDS = ("yes", "no", "maybe so", "")


def bbq_row(n: int) -> dict[str, Any]:
    return {
        "category": "Age", "example_id": n, "question_index": str(n % 13), "answer": GENERATOR.choice((0, 1, 2, "?")),
        "context_condition": ("ambig", "disambig")[n % 2], "question_polarity": ("neg", "nonneg")[n // 2 % 2],
        "label": 2 - n % 2 * (1 + n // 4 % 2), "ans0": "The old man", "ans1": "The young man", "ans2": "Not known",
        "answer_info": {"ans0": ["man", "old"], "ans1": ["man", "nonOld"], "ans2": ["Not known", "unknown"]},
        "additional_metadata": {"stereotyped_groups": ["old"]},
    }  # fmt: skip


ROWS: dict[Any, list[dict[str, Any]]] = {
    bbq: [bbq_row(n) for n in range(300)],
    crows_pairs: [
        {"id": n, "anon_writer": f"w{n % 17}", "stereo_antistereo": "stereo", "bias_type": ("age", "race")[n % 2],
         "sent_more_score": GENERATOR.random(), "sent_less_score": GENERATOR.random()}
        for n in range(100)
    ],
    stereoset: [
        {"sentence_id": f"{n}-{label}", "context_id": n, "label": label, "target": f"t{n % 19}", "bias_type": "race",
         "split": "intrasentence", "score": GENERATOR.random()}
        for n in range(120)
        for label in stereoset.LABELS
    ],
    winobias: [
        {"split": "dev", "type": 1, "stereotype": side, "id": n + 1, "right": "the cook", "wrong": "the driver",
         "answer": GENERATOR.choice(("the cook", "the cook", "the driver", ""))}
        for side in ("pro", "anti")
        for n in range(120)
    ],
    counterfactual: [
        {"id": n, "group": group, "cluster": n % 14, "answer": GENERATOR.choice(WORDS), "score": GENERATOR.random()}
        for group in ("a", "b", "c")
        for n in range(60)
    ],
    decisions: [
        {"id": n, "label": GENERATOR.randrange(2), "decision": GENERATOR.randrange(2), "cluster": n % 30,
         "groups": {"g": "ab"[n % 2], "h": "xyz"[n % 3]}}
        for n in range(120)
    ],
}  # fmt: skip


@pytest.mark.parametrize("suite", ROWS, ids=lambda suite: suite.__name__.rpartition(".")[2])
def test_the_order_of_the_rows_does_not_matter(suite: Any) -> None:
    mixed = list(ROWS[suite])
    random.Random(2).shuffle(mixed)
    assert suite.PLUGIN.score(mixed) == suite.PLUGIN.score(ROWS[suite])
