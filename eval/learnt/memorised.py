"""`memorised`: training rows, cut in half; does the model say the other half?

A text s is extractable with context p where p and s stand behind each other in the training data and the model says s
after p under greedy decoding (Carlini et al. 2023, ICLR, arXiv 2202.07646, definition 3.1; they take 50 tokens of s).
Here p is the row up to the middle of the last text it teaches, and s what follows, at most `answer_tokens` tokens. Rows
whose s has fewer than 8 tokens are left out: so little is said by chance. Rows with one s are one cluster. `limit`
takes rows at even distances.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from eval.model import load_tokenizer
from eval.rowtext import last_taught
from eval.task import Item, Learnt, OpenTask, require_metric
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput

METRICS = ("withholds", "no_near_copy")
LEAST_TOKENS = 8
ROOM = 8  # tokens more than s has: the model may divide the same text otherwise


def open_memorised(block: TaskBlock, learnt: Learnt) -> OpenTask:
    """The halved rows. Raises BadInput where none is long enough."""
    require_metric(block, METRICS)
    tokenizer = load_tokenizer(learnt.base_folder)
    found = [(number, half) for number, row in learnt.rows.items() if (half := _half(row, tokenizer, block))]
    if not found:
        raise BadInput(
            f"task '{block.name}': of {len(learnt.rows)} training rows none ends in a text whose second half has "
            f"{LEAST_TOKENS} tokens; there is nothing to say by heart"
        )
    taken = _spread(found, block.limit)
    first: dict[str, str] = {}
    items = tuple(
        Item(f"row-{number}", context, None, rest, first.setdefault(rest, f"row-{number}"))
        for number, (context, rest) in taken
    )

    def build(part: Sequence[Item]) -> list[Any]:
        from eval.lmeval import question_task

        return [question_task(block, part, (), rendered=True, answer_tokens=block.answer_tokens + ROOM)]

    shaping = {"answer_tokens": block.answer_tokens}
    return OpenTask(block, items, shaping, True, partial(build, items), learnt.name, build)


PLUGIN = open_memorised


def _half(row: str, tokenizer: Any, block: TaskBlock) -> tuple[str, str] | None:
    """Context and rest of a row, the cut before a word; None where the rest is too short."""
    context, text = last_taught(row, tokenizer)
    text = text.rstrip()
    middle = len(text) // 2
    space = text.rfind(" ", 0, middle + 1)
    cut = space if space > 0 else middle
    tokens = tokenizer(text[cut:], add_special_tokens=False)["input_ids"]
    if cut == 0 or len(tokens) < LEAST_TOKENS:
        return None
    rest = str(tokenizer.decode(tokens[: block.answer_tokens])).rstrip("\N{REPLACEMENT CHARACTER}").strip()
    return (context + text[:cut], rest) if rest else None


def _spread(found: list[Any], limit: int | None) -> list[Any]:
    """At most `limit` of them, at even distances."""
    if limit is None or limit >= len(found):
        return found
    return [found[at * len(found) // limit] for at in range(limit)]
