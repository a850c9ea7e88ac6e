"""What each arm did with each item, kept so that it can be recounted, and what could not be measured, by reason.

Not measured is never zero: a score that is not finite, an answer the task's filter could not read, an empty answer and
a prompt that does not fit the model's context have a reason instead of a score. An answer in which nothing can be read
because it declines, or was cut off, has that for its reason. One that has a score all the same keeps it with a doubt.

Scores and answers only: log-likelihoods differ in their last digits between machines and say nothing the answer does
not. `prompts` are digests of document, prompt and continuations, by which arms prove that they were asked the same.
"""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from eval.exposure import exposure
from eval.task import Item
from tunegate_core.canonical import canonical_json, digest, digest_json
from tunegate_core.errors import IntegrityError, StoreFault
from tunegate_core.records import Arm, Doubt, Record
from tunegate_core.refusal import declines

EXPOSURE = "exposure"  # the metric that is made of all choices' likelihoods
NOT_FINITE = "score not finite"
NOT_PARSED = "answer not parsed"
EMPTY = "empty answer"
TOO_LONG = "too long for the model"
REFUSED: Doubt = "refused"
CUT_OFF: Doubt = "cut off"
UNREADABLE = "[invalid]"  # what the harness's filters give for an answer they can't read


class Result(Record):
    """One item of one arm: a score, or the reason why there is none. `answer`: the chosen index, or the text.

    `doubts`: what makes a score say less than it seems to; empty where there is none.
    """

    id: str
    score: float | None = None
    answer: int | str | None = None
    reason: str | None = None
    doubts: tuple[Doubt, ...] = ()


class ArmRun(Record):
    """All items of one arm, in the task's order."""

    key: str  # digest of everything that shapes an answer
    prompts: tuple[str, ...] = Field(min_length=1)
    results: tuple[Result, ...] = Field(min_length=1)
    figures: dict[str, float] = Field(default_factory=dict)  # about the scoring itself: how a judge agrees with people


def read_run(items: Sequence[Item], samples: Sequence[Mapping[str, Any]], metric: str, key: str, lm: Any) -> ArmRun:
    """The harness's samples of one arm as results. Raises IntegrityError when samples and items do not match."""
    if len(items) != len(samples):
        raise IntegrityError(f"{len(items)} items were planned, but {len(samples)} were scored")
    results = tuple(read_sample(item, sample, metric, lm) for item, sample in zip(items, samples, strict=True))
    return ArmRun(key=key, prompts=tuple(_prompt(sample) for sample in samples), results=results)


def read_sample(item: Item, sample: Mapping[str, Any], metric: str, lm: Any) -> Result:
    """One sample as a result; `lm.fits` says whether its prompt was cut, `lm.is_cut` whether its answer was."""
    name = metric.partition(",")[0]
    answers = sample["filtered_resps"]
    arguments = [(str(pair[0]), pair[1]) for pair in sample["arguments"]]
    likelihoods = isinstance(answers[0], tuple | list) and len(answers[0]) == 2 and isinstance(answers[0][1], bool)
    if not all(_fits(lm, prompt, rest) for prompt, rest in arguments):
        return Result(id=item.id, reason=TOO_LONG)
    answer = _choice(item, [float(pair[0]) for pair in answers], name) if likelihoods else _text(answers[0])
    doubts = () if likelihoods else _doubts(str(sample["resps"][0][0]), *arguments[0], lm)
    reason = unread(_reason(answers, answer, likelihoods), doubts)
    score = sample.get(name)
    if name == EXPOSURE and reason is None:
        score = exposure([float(pair[0]) for pair in answers[: len(item.choices or ())]])
    if reason is None and (score is None or not math.isfinite(float(score))):
        reason = NOT_FINITE
    if reason is not None:
        return Result(id=item.id, answer=answer, reason=reason)
    return Result(id=item.id, score=float(score), answer=answer, doubts=doubts)  # type: ignore[arg-type]


def unread(reason: str | None, doubts: Sequence[Doubt]) -> str | None:
    """Why there is no score: nothing could be read in an answer because of what makes it doubtful, if anything does."""
    return doubts[0] if reason == NOT_PARSED and doubts else reason


def verify_same_prompts(task: str, runs: Mapping[Arm, ArmRun]) -> None:
    """Every arm was asked the same items with the same prompts. Raises IntegrityError: such runs are not compared."""
    first, *others = runs
    for other in others:
        pairs = zip(runs[first].prompts, runs[other].prompts, strict=False)
        differing = [index for index, (a, b) in enumerate(pairs) if a != b]
        lengths = len(runs[first].prompts), len(runs[other].prompts)
        if differing or lengths[0] != lengths[1]:
            item = runs[first].results[differing[0]].id if differing else None
            where = f"item {item}" if differing else f"{lengths[0]} and {lengths[1]} items"
            raise IntegrityError(
                f"task '{task}': {first} and {other} were not asked the same ({where}); their answers can't be "
                "compared; expected one document and one prompt for every arm"
            )


def recall(path: Path, key: str, items: Sequence[Item]) -> ArmRun | None:
    """A finished run, if the file holds it whole and for these items; anything else is as good as nothing."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    name, _, body = data.partition(b"\n")
    if name.decode("ascii", "replace") != digest(body):
        return None
    try:
        run = ArmRun.parse(body)
    except IntegrityError:
        return None
    same = run.key == key and [result.id for result in run.results] == [item.id for item in items]
    return run if same else None


def keep(path: Path, run: ArmRun) -> None:
    """Write a finished run beside its digest, whole or not at all."""
    body = run.canonical()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(digest(body).encode() + b"\n" + body)
        Path(draft).replace(path)
    except OSError as error:
        raise StoreFault(f"can't keep the scores of a finished evaluation in {path.parent}: {error}") from error


def samples_json(
    task: str, metric: str, items: Sequence[Item], runs: Mapping[Arm, ArmRun], answers: bool = True
) -> dict[str, Any]:
    """The per-item records of a task, for the store: no times and no paths. `answers`: what was said as well, which
    must not be kept where it may be a training row."""
    rows = []
    for index, item in enumerate(items):
        arms = {arm: _row(run.results[index], answers) for arm, run in runs.items()}
        rows.append({"id": item.id, "cluster": item.cluster, "arms": arms})
    figures = {arm: run.figures for arm, run in runs.items() if run.figures}
    return {"task": task, "metric": metric, "items": rows} | ({"figures": figures} if figures else {})


def _row(result: Result, answers: bool) -> dict[str, Any]:
    told = {"answer": result.answer} if answers else {}
    if result.reason is not None:
        return {**told, "measured": False, "reason": result.reason}
    return {**told, "measured": True, "score": result.score} | ({"doubt": result.doubts[0]} if result.doubts else {})


def _prompt(sample: Mapping[str, Any]) -> str:
    asked = [[str(part) if isinstance(part, str) else _stable(part) for part in pair] for pair in sample["arguments"]]
    return digest_json([sample["doc_hash"], asked])


def _stable(settings: Any) -> str:
    return canonical_json(settings).decode()


def _fits(lm: Any, prompt: str, rest: Any) -> bool:
    if isinstance(rest, str):
        return bool(lm.fits(prompt, rest, 0))
    return bool(lm.fits(prompt, "", int(rest.get("max_gen_toks", lm.max_gen_toks))))


def _choice(item: Item, likelihoods: Sequence[float], metric: str) -> int | None:
    """The chosen index: the most likely, for `acc_norm` by character, as the harness counts."""
    if item.choices is None or len(likelihoods) < len(item.choices) or not all(map(math.isfinite, likelihoods)):
        return None
    lengths = [len(choice) if metric == "acc_norm" else 1 for choice in item.choices]
    scores = [value / length for value, length in zip(likelihoods[: len(lengths)], lengths, strict=True)]
    return max(range(len(scores)), key=scores.__getitem__)


def _text(answer: Any) -> str:
    return str(answer[0]) if isinstance(answer, list) and answer else str(answer)


def _doubts(said: str, prompt: str, settings: Any, lm: Any) -> tuple[Doubt, ...]:
    """By what was said, before any filter of the task."""
    found: tuple[Doubt, ...] = (REFUSED,) if declines(said.lstrip()) else ()
    return (*found, CUT_OFF) if lm.is_cut(prompt, settings) else found


def _reason(answers: Sequence[Any], answer: int | str | None, likelihoods: bool) -> str | None:
    if likelihoods:
        return None if all(math.isfinite(float(pair[0])) for pair in answers) else NOT_FINITE
    if answer == UNREADABLE:
        return NOT_PARSED
    return EMPTY if isinstance(answer, str) and not answer.strip() else None
