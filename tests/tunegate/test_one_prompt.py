"""What is measured is what was trained: the prompts of evaluation are, token for token, those of training.

The two rooms render by themselves and know nothing of each other; the base's chat template is all they share.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval import lmeval
from eval.items import open_task
from eval.model import Arms
from eval.probe import prompt_and_answer
from eval.quiet import quiet
from finetune.data import Part, Row
from finetune.render import Renderer
from tunegate_core.config import TaskBlock

# A beginning and a turn's end of its own, outer spaces cut, and the assistant's words marked for training.
OWN = (
    "{{ '<|endoftext|>' }}{% for m in messages %}<|im_start|>{{ m['role'] }}:\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] | trim }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m['content'] | trim }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant:\n{% endif %}"
)
QUESTIONS = ["Which number follows 1?", "And in  Köln? 😀", "First line\nsecond line"]


class Listening:
    """Hears what the model is asked and answers nothing. `asked`: the tokens of each prompt with its answer."""

    def __init__(self, base: Path):
        from eval.asking import AskingLM

        self.lm = AskingLM(base, 1, lambda batches: ((at, batch.by(self)) for at, batch in enumerate(batches)))
        self.asked: list[list[int]] = []

    def score(self, arm: Any, batch: Any) -> list[tuple[float, bool]]:
        asked = [[*question.prompt, *answer] for question in batch for answer in question.answers.values()]
        self.asked += asked
        return [(0.0, False)] * len(asked)

    def say(self, arm: Any, prompts: Any, settings: dict[str, Any]) -> list[tuple[str, bool]]:
        self.asked += [self.lm.tok_encode(prompt) for prompt in prompts]
        return [("", False)] * len(prompts)


@pytest.fixture(params=["chatml", "own"])
def base(request: pytest.FixtureRequest, tiny_base: Path, tiny_with: Callable[[str], Path]) -> Path:
    return tiny_base if request.param == "chatml" else tiny_with(OWN)


def heard(base: Path, rows: list[dict[str, Any]], folder: Path, **settings: Any) -> list[list[int]]:
    """Every prompt, with its answer where one is given, as evaluation asks for it."""
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = open_task(TaskBlock(name="facts", questions=str(path), **settings))
    with quiet():
        model = Listening(base)
        lmeval.run(model.lm, opened.build(), opened.block, chat=True)
    return model.asked


def trained(base: Path, *turns: str, answered: bool) -> list[int]:
    """The tokens that training sees of turns (user, assistant, user, ...): of a prompt, or up to the answer's end."""
    renderer = Renderer(base)
    parts = tuple(Part(("user", "assistant")[at % 2], text) for at, text in enumerate(turns))
    row = Row(0, 1, "chat", parts, "")
    if not answered:
        return list(renderer.tokenizer(renderer.render(row.messages, True), add_special_tokens=False)["input_ids"])
    encoded = renderer.encode(row, 10_000)
    return encoded.input_ids[: max(at for at, learnt in enumerate(encoded.labels_mask) if learnt)]


def test_questions_with_choices(base: Path, tmp_path: Path) -> None:
    choices = ["It is 2.", "Ja, über 1000."]
    rows = [{"id": q, "question": q, "choices": choices, "answer": 0} for q in QUESTIONS]
    expected = [trained(base, q, choice, answered=True) for q in QUESTIONS for choice in choices]
    assert sorted(heard(base, rows, tmp_path)) == sorted(expected)


def test_questions_with_the_answers_text(base: Path, tmp_path: Path) -> None:
    rows = [{"id": q, "question": q, "answer": "2"} for q in QUESTIONS]
    expected = [trained(base, q, answered=False) for q in QUESTIONS]
    assert sorted(heard(base, rows, tmp_path, metric="exact_match")) == sorted(expected)


def test_examples_are_turns_of_the_same_conversation(base: Path, tmp_path: Path) -> None:
    rows = [{"id": q, "question": q, "choices": [f"{q} yes", "no"], "answer": 0} for q in QUESTIONS[:2]]
    first, second = QUESTIONS[:2]
    expected = [trained(base, first, f"{first} yes", second, last, answered=True) for last in (f"{second} yes", "no")]
    assert sorted(heard(base, rows, tmp_path, few_shot=1)) == sorted(expected)


def test_single_answers_and_log_probabilities(base: Path) -> None:
    arms = Arms(base, {}, "float32")
    for question in QUESTIONS:
        prompt, answer = prompt_and_answer(arms, question, "It is 2.")
        assert prompt == trained(base, question, answered=False)
        assert prompt + answer == trained(base, question, "It is 2.", answered=True)
