"""What each arm answers to each prompt: the chat template, greedy decoding, one base in memory.

Finished answers of an arm are kept under the digest of everything that shapes them, so that a killed run continues.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.answer import complete
from eval.model import Arms, Precision, chat_template
from eval.quiet import quiet
from eval.task import Item
from tunegate_core.canonical import canonical_json, digest, digest_json
from tunegate_core.errors import StoreFault
from tunegate_core.ports import Progress
from tunegate_core.records import Arm

MOST_TOKENS = 256
AT_ONCE = 32  # prompts that are answered together
METHOD = 3  # counted up when a change here can change an answer
NO_ANSWER = "(no answer)"

Answers = dict[Arm, tuple[str, ...]]
Tokens = tuple[int, ...]


def answer_all(  # noqa: PLR0913 - as eval.examine.examine
    task: str,
    items: Sequence[Item],
    base_folder: Path,
    base_tree: str,
    arms: Mapping[Arm, Path | None],
    subjects: Mapping[Arm, str],
    cache: Path,
    precision: Precision,
    progress: Progress,
) -> Answers:
    """The answers of every arm, in the order of the items."""
    template = digest((chat_template(base_folder) or "").encode())
    shaping = {"base": base_tree, "template": template, "tokens": MOST_TOKENS, "precision": precision, "method": METHOD}
    prompts = [item.text for item in items]
    paths = {arm: _path(cache, {**shaping, "subject": subjects[arm], "prompts": prompts}) for arm in arms}
    found: dict[Arm, tuple[str, ...] | None] = {arm: _recall(path, len(items)) for arm, path in paths.items()}
    missing = {arm: arms[arm] for arm, answers in found.items() if answers is None}
    loaded = Arms(base_folder, {a: folder for a, folder in missing.items() if folder}, precision) if missing else None
    for arm in missing:
        if loaded is not None:
            found[arm] = _answer(loaded, arm, prompts, f"answers for {task}: {arm}", progress)
            _keep(paths[arm], found[arm])
    return {arm: answers for arm, answers in found.items() if answers is not None}


def _answer(loaded: Arms, arm: Arm, prompts: Sequence[str], stage: str, progress: Progress) -> tuple[str, ...]:
    from eval.decoding import is_greedy

    told: list[str] = []
    tokenizer = loaded.tokenizer
    asked = [tuple(tokenizer(loaded.prompt(text), add_special_tokens=False)["input_ids"]) for text in prompts]
    shares = loaded.shares  # asked before another arm is switched on
    with quiet(), loaded.on(arm) as model:
        at_once = AT_ONCE if shares and is_greedy(model, {}) else 1
        for start in range(0, len(asked), at_once):
            progress(stage, start, len(asked))
            batch = asked[start : start + at_once]
            made = (
                [complete(model, tokenizer, batch[0], MOST_TOKENS)]
                if at_once == 1
                else _together(model, tokenizer, batch)
            )
            told += [str(tokenizer.decode(tokens, skip_special_tokens=True)).strip() or NO_ANSWER for tokens in made]
    progress(stage, len(asked), len(asked))
    return tuple(told)


def _together(model: Any, tokenizer: Any, batch: Sequence[Tokens]) -> list[Tokens]:
    """Many prompts at once, read and decoded as in every other task."""
    from eval.decoding import Ending, decode, end_tokens

    ending = Ending(MOST_TOKENS, end_tokens(model), ())
    return decode(model, tokenizer, batch, ending)


def _path(cache: Path, shaping: dict[str, Any]) -> Path:
    return cache / "answers" / f"{digest_json(shaping).removeprefix('sha256:')}.json"


def _recall(path: Path, count: int) -> tuple[str, ...] | None:
    """Finished answers, if the file holds them whole; anything else is as good as nothing."""
    try:
        name, _, body = path.read_bytes().partition(b"\n")
        found = json.loads(body) if name.decode("ascii", "replace") == digest(body) else []
    except (OSError, ValueError):
        return None
    return tuple(found) if len(found) == count else None


def _keep(path: Path, answers: Sequence[str] | None) -> None:
    body = canonical_json(list(answers or ()))
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(digest(body).encode() + b"\n" + body)
        draft.replace(path)
    except OSError as error:
        raise StoreFault(f"can't keep finished answers in {path.parent}: {error}") from error
