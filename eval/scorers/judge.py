"""`judge`: a language model scores the answers, at any OpenAI-compatible endpoint; see `eval.judging` for its words.

A reply that does not come, or says nothing that can be read, is no score but a reason. Replies are kept, so that a
second try asks only for what is missing. With human labels the judge is tried on them first: where it agrees with them
too little (Cohen's kappa, for grades with quadratic weights), none of its scores counts.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.agreement import Agreement, agreement
from eval.endpoint import Endpoint, NoReply
from eval.journal import Journal, batch_name
from eval.judging import (
    GRADES,
    NONSENSE,
    REPLY_TOKENS,
    graded,
    pair_prompt,
    preferred,
    read_better,
    read_grade,
    rubric_prompt,
)
from eval.scorer import Expects, Said, Score, Scored
from tunegate_core.config import TaskBlock
from tunegate_core.config.schema import JudgeBlock
from tunegate_core.errors import BadInput, DataError
from tunegate_core.lines import parse
from tunegate_core.ports import Progress
from tunegate_core.records import Doubt

DISTRUSTED = "judge agrees too little with the labels"
LEAST_LABELS = 10
FORMS = {"rubric": {"question", "answer", "label"}, "pairwise": {"question", "a", "b", "better"}}
BETTER = {"a": 1.0, "tie": 0.5, "b": 0.0}


class Judge:
    """See the module."""

    expects: Expects = "text"
    is_binary = False

    def is_in_doubt(self, score: float, doubt: Doubt) -> bool:
        """Every grade: the judge saw a part, or nothing but a refusal."""
        return True

    def check(self, block: TaskBlock) -> None:
        """Raises DataError for labels that can't be used."""
        if block.labels is not None:
            read_labels(Path(block.labels), _settings(block).form)

    def __call__(self, said: Sequence[Said], block: TaskBlock, cache: Path, progress: Progress) -> Scored:
        """A score from 0 to 1 for each answer, or why there is none."""
        settings = _settings(block)
        name = batch_name(settings.url, settings.model).removeprefix("sha256:")
        figures: dict[str, float] = {}
        with (
            Endpoint(settings.url, settings.model, settings.key_env, settings.timeout_s, settings.parallel) as endpoint,
            ThreadPoolExecutor(settings.parallel) as pool,
        ):
            bench = _Bench(endpoint, Journal(cache / "judged" / f"{name}.jsonl"), settings)

            def all_of(asked: Sequence[Callable[[], Score]], stage: str) -> list[Score]:
                return list(_watched(pool.map(_called, asked), len(asked), stage, progress))

            if block.labels is not None:
                known = read_labels(Path(block.labels), settings.form)
                tried = all_of([bench.label(row) for row in known], f"try the judge of {block.name}")
                told = report(known, tried, settings.form)
                figures = told.figures()
                why = _distrust(told, settings.least_kappa)
                if why is not None:
                    return [why] * len(said), figures
            return all_of([bench.score(one) for one in said], f"judge {block.name}"), figures


PLUGIN = Judge()


@dataclass(frozen=True)
class _Bench:
    endpoint: Endpoint
    journal: Journal
    settings: JudgeBlock

    def score(self, said: Said) -> Callable[[], Score]:
        question, reference = said.item.text, said.expected[0]
        if self.settings.form == "rubric":
            return lambda: self._grade(question, said.text, reference)
        return lambda: self._compare(question, said.text, reference)

    def label(self, row: dict[str, Any]) -> Callable[[], Score]:
        if self.settings.form == "rubric":
            return lambda: self._grade(row["question"], row["answer"], str(row.get("reference", "")))
        return lambda: self._compare(row["question"], row["a"], row["b"])

    def _grade(self, question: str, answer: str, reference: str) -> Score:
        grade = read_grade(self._reply(rubric_prompt(self.settings.rubric, question, answer, reference)))
        return NONSENSE if grade is None else graded(grade)

    def _compare(self, question: str, one: str, other: str) -> Score:
        as_a = read_better(self._reply(pair_prompt(self.settings.rubric, question, one, other)))
        as_b = read_better(self._reply(pair_prompt(self.settings.rubric, question, other, one)))
        return NONSENSE if as_a is None or as_b is None else preferred(as_a, as_b)

    def _reply(self, prompt: str) -> str:
        name = batch_name(prompt)
        known = self.journal.recall(name)
        if known is not None:
            return str(known)
        reply = self.endpoint.ask(prompt, REPLY_TOKENS)
        self.journal.keep(name, reply)
        return reply


def _distrust(told: Agreement, least_kappa: float) -> str | None:
    if told.n < LEAST_LABELS:
        return f"judge failed on the labels: {told}"
    return f"{DISTRUSTED}: {told}" if told.kappa is None or told.kappa < least_kappa else None


def report(known: Sequence[dict[str, Any]], found: Sequence[Score], form: str) -> Agreement:
    """How the judge's scores of the labelled answers agree with the labels; what it did not score is counted."""
    human = [BETTER[row["better"]] if form == "pairwise" else graded(row["label"]) for row in known]
    steps = 2 if form == "pairwise" else GRADES - 1  # a preference between halves is rounded to the nearer outcome
    return agreement(
        [round(value * steps) for value in human],
        [None if isinstance(score, str) else round(score * steps) for score in found],
        steps + 1,
        is_ordered=form == "rubric",
    )


def read_labels(path: Path, form: str) -> list[dict[str, Any]]:
    """The labelled rows. Raises DataError with the line of a row that does not fit."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read: {error}; expected a JSONL of labels in UTF-8") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not a whole JSON object") from error
        _check_label(row, form, f"{path}, line {number}")
        rows.append(row)
    if len(rows) < LEAST_LABELS:
        raise DataError(f"{path}: {len(rows)} labels tell nothing about a judge; expected at least {LEAST_LABELS}")
    return rows


def _check_label(row: Any, form: str, where: str) -> None:
    needed = FORMS[form]
    missing = sorted(needed - set(row)) if isinstance(row, dict) else sorted(needed)
    if missing:
        raise DataError(f"{where}: {', '.join(missing)} missing; a {form} label has {', '.join(sorted(needed))}")
    other = [key for key in sorted(needed - {"label", "better"}) if not isinstance(row[key], str)]
    if other:
        raise DataError(f"{where}: '{other[0]}' is {row[other[0]]!r}; expected a text")
    if form == "pairwise" and row["better"] not in tuple(BETTER):
        raise DataError(f"{where}: 'better' is {row['better']!r}; expected a, b or tie")
    if form == "rubric" and (type(row["label"]) is not int or not 1 <= row["label"] <= GRADES):
        raise DataError(f"{where}: 'label' is {row['label']!r}; expected a whole number from 1 to {GRADES}")


def _settings(block: TaskBlock) -> JudgeBlock:
    if block.judge is None:
        raise BadInput(f"task '{block.name}': metric judge needs the key judge")
    return block.judge


def _called(ask: Callable[[], Score]) -> Score:
    try:
        return ask()
    except NoReply as error:
        return str(error)


def _watched(scores: Iterator[Score], total: int, stage: str, progress: Progress) -> Iterator[Score]:
    for done, score in enumerate(scores, start=1):
        progress(stage, done, total)
        yield score
