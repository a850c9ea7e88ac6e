"""The harness's model, as it meets it: requests are encoded once for all arms, cut into batches, answered by a crew.

What a batch is depends on the requests alone: questions of much the same length, prompts of much the same length. A
finished batch is kept at once and not asked again. One object serves all arms; `arm` says whose answers are wanted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs

from eval.backend import ROWS_PER_QUESTION, Answer
from eval.crew import Batch, Crew, Saying, Scoring
from eval.encoding import MOST_TOKENS, Encoder
from eval.journal import Journal, batch_name
from eval.packing import Question
from tunegate_core.errors import BadInput
from tunegate_core.records import Arm

BATCH_TOKENS = 32_768  # bounds the mask of long rows, which grows with the square of their length


class AskingLM(TemplateLM):  # type: ignore[misc]
    """A model of the harness over a crew. `watch(done, total)` hears of every finished batch of requests."""

    def __init__(self, base_folder: Path, batch_size: int, crew: Crew):
        super().__init__()
        self._encoder = Encoder(base_folder)
        self.tokenizer = self._encoder.tokenizer
        self.batch_size = batch_size
        self.crew = crew
        self.arm: Arm = "base"
        self.watch: Callable[[int, int], None] = lambda done, total: None
        self.journal = Journal()
        self._done = self._total = 0
        self._cut: set[tuple[str, str]] = set()
        self._pairs: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    @property
    def max_length(self) -> int:
        """Tokens that the model takes."""
        return self._encoder.max_length

    @property
    def max_gen_toks(self) -> int:
        """Tokens of an answer, where a task names no number."""
        return MOST_TOKENS

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self._encoder.end_of_text

    @property
    def prefix_token_id(self) -> int:
        """What stands for an empty prompt."""
        return self._encoder.beginning

    @property
    def tokenizer_name(self) -> str:
        """A name for the harness's records."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Tokens of a text."""
        return self._encoder.encode(string, add_special_tokens)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The turns as the base's template writes them; without a system turn where it takes none."""
        import jinja2

        form = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        try:
            return str(self.tokenizer.apply_chat_template(chat_history, tokenize=False, **form))
        except jinja2.exceptions.TemplateError:
            turns = [turn for turn in chat_history if turn["role"] != "system"]
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, **form))

    def fits(self, prompt: str, answer: str, room: int) -> bool:
        """Whether prompt, answer and `room` more tokens fit the model's context; the harness would cut them."""
        return len(self.tok_encode(prompt + answer)) + room <= self.max_length

    def forget(self) -> None:
        """Drop what was kept for the arms of one task."""
        self._pairs.clear()

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[Answer]:
        """As the harness does, without its bars."""
        self._start(len(requests))
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """No task that is let in asks for it."""
        raise BadInput("tasks that score whole texts are not supported")

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """In batches of one kind of settings, those that are alike together."""
        self._start(len(requests))
        ordered = sorted(range(len(requests)), key=lambda at: (repr(requests[at].args[1]), *self._order(requests[at])))
        batches: dict[str, Batch] = {}
        places: list[tuple[str, list[int]]] = []
        for _, group in groupby(ordered, key=lambda at: repr(requests[at].args[1])):
            same = list(group)
            rows = self.batch_size * ROWS_PER_QUESTION
            for chosen in (same[start : start + rows] for start in range(0, len(same), rows)):
                asked = [requests[at].args for at in chosen]
                settings = normalize_gen_kwargs(dict(asked[0][1]), self.max_gen_toks)
                name = batch_name("generate", asked)
                batches[name] = Saying(self.arm, tuple(prompt for prompt, _ in asked), settings)
                places.append((name, chosen))
        answers = self._answers(batches)
        found = {at: told for name, chosen in places for at, told in zip(chosen, answers[name], strict=True)}
        self._cut = {_asked(*requests[at].args) for at, (_, is_cut) in found.items() if is_cut}
        return [found[at][0] for at in range(len(requests))]

    def is_cut(self, prompt: str, settings: Any) -> bool:
        """Whether the latest answer to a prompt under these settings reached the most tokens without an end."""
        return _asked(prompt, settings) in self._cut

    def _order(self, request: Any) -> tuple[int, str]:
        """Longest first, in an order that depends on the requests alone."""
        return -len(self.tok_encode(request.args[0])), str(request.args[0])

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """The harness's tokens of a prompt and its continuation, found once for all arms."""
        found = self._pairs.get((context, continuation))
        if found is None:
            found = self._pairs[context, continuation] = super()._encode_pair(context, continuation)
        return found

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = True, **_: Any) -> list[Answer]:
        found: dict[int, Answer] = {}
        together: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, (_, prompt, answer) in enumerate(requests):
            if len(prompt) + len(answer) > self.max_length:
                found[index] = (float("nan"), False)
            else:
                together[tuple(prompt)].append(index)
        questions = [
            Question(prompt, {index: tuple(requests[index][2]) for index in indices})
            for prompt, indices in together.items()
        ]
        batches: dict[str, Batch] = {}
        places: list[tuple[str, list[int]]] = []
        for batch in batches_of(questions, self.batch_size):
            name = batch_name("score", [(question.prompt, list(question.answers.values())) for question in batch])
            batches[name] = Scoring(self.arm, tuple(batch))
            places.append((name, [index for question in batch for index in question.answers]))
        answers = self._answers(batches)
        for name, indices in places:
            pairs = zip(indices, answers[name], strict=True)
            found.update({index: (float(value), bool(greedy)) for index, (value, greedy) in pairs})
        return [found[index] for index in range(len(requests))]

    def _answers(self, batches: dict[str, Batch]) -> dict[str, list[Any]]:
        """The answers of every batch: those that were kept before the evaluation was cut off, and the others now."""
        found: dict[str, list[Any]] = {}
        for name in batches:
            known = self.journal.recall(name)
            if known is not None:
                found[name] = known
                self._finish(len(known))
        missing = [name for name in batches if name not in found]
        for at, answers in self.crew([batches[name] for name in missing]):
            self.journal.keep(missing[at], answers)
            found[missing[at]] = answers
            self._finish(len(answers))
        return found

    def _start(self, total: int) -> None:
        self._done, self._total = 0, total

    def _finish(self, requests: int) -> None:
        self._done = min(self._total, self._done + requests)
        self.watch(self._done, self._total)


def _asked(prompt: str, settings: Any) -> tuple[str, str]:
    return prompt, repr(settings)


def batches_of(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Questions of much the same length together, longest first, in an order that depends on them alone."""
    ordered = sorted(questions, key=lambda question: (-len(question.row), question.row))
    at = 0
    while at < len(ordered):
        rows = max(1, min(size, BATCH_TOKENS // len(ordered[at].row)))
        yield ordered[at : at + rows]
        at += rows
