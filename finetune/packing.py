"""Which rows are learnt from in which step, by which worker, behind which others.

Pure: the same arguments give the same plan on every worker, without a word between them. A step is a set of rows; how
it is cut into micro-batches is arithmetic and changes nothing that is learnt, because the loss is a sum over the
step's supervised tokens divided by their number. Packed rows lie behind one another in one sequence, told apart by
positions that start again at 0, without an attention mask and without a cache. The first token of a row is never a
target, so that no row is asked to predict the next one's beginning.
"""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from finetune.render import IGNORED, Encoded

Group = list[int]  # row numbers that share a micro-batch


@dataclass(frozen=True)
class Rows:
    """All rows behind one another: row i is `ids[starts[i]:starts[i + 1]]`, `learnt` says which tokens are targets."""

    ids: np.ndarray
    learnt: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, examples: Sequence[Encoded]) -> "Rows":
        """The rows of a prepared data set."""
        ids = [token for example in examples for token in example.input_ids]
        learnt = [bool(place and target) for row in examples for place, target in enumerate(row.labels_mask)]
        starts = np.cumsum([0, *(len(example.input_ids) for example in examples)], dtype=np.int64)
        return cls(np.array(ids, dtype=np.int32), np.array(learnt, dtype=np.bool_), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self, group: Group) -> list[int]:
        """Tokens of each row of a group."""
        return [int(self.starts[row + 1] - self.starts[row]) for row in group]

    def supervised(self, group: Group) -> int:
        """Targets in a group."""
        return sum(int(self.learnt[self.starts[row] : self.starts[row + 1]].sum()) for row in group)

    def tokens_of(self, row: int) -> tuple[list[int], list[int]]:
        """One row's ids, and its labels: the id where it is a target, -100 elsewhere."""
        part = slice(self.starts[row], self.starts[row + 1])
        return self.ids[part].tolist(), np.where(self.learnt[part], self.ids[part], IGNORED).tolist()


@dataclass(frozen=True)
class Room:
    """What one worker holds at once: at most `rows` rows, or rows of at most `tokens` tokens; one row always fits."""

    rows: int | None
    tokens: int | None

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.rows else f"{self.tokens} tokens"

    def holds(self, count: int, tokens: int) -> bool:
        """Whether a micro-batch of `count` rows and `tokens` tokens, padding included, fits."""
        return count <= 1 or (count <= (self.rows or count) and tokens <= (self.tokens or tokens))


def step_rows(rows: int, per_step: int, steps: int, seed: int) -> list[Group]:
    """The rows of each step: each epoch its own order, its last step what is left of it."""
    plan: list[Group] = []
    epoch = 0
    while len(plan) < steps:
        order = list(range(rows))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        plan += [order[start : start + per_step] for start in range(0, rows, per_step)]
        epoch += 1
    return plan[:steps]


def micro_batches(rows: Group, lengths: Sequence[int], room: Room, workers: int, packing: bool) -> list[list[Group]]:
    """The micro-batches of each worker: as many for one as for another, as few as fit, of nearly equal work.

    A worker without a row gets an empty group: it takes part with one that teaches nothing.
    """
    arrange = _deal if packing else _slice
    groups = workers
    while True:
        found = arrange(lengths, groups)
        if groups >= len(rows) or all(_fits([lengths[at] for at in group], room, packing) for group in found):
            break
        groups += workers
    return [[[rows[at] for at in group] for group in found[worker::workers]] for worker in range(workers)]


def batch(rows: Rows, group: Group, packing: bool, pad: int) -> dict[str, Any]:
    """The tensors of one micro-batch: (1, T) with `position_ids` when packed, else (B, T) with `attention_mask`."""
    import torch

    pairs = [rows.tokens_of(row) for row in group]
    if not pairs:
        ids, _ = rows.tokens_of(0)
        pairs = [(ids, [IGNORED] * len(ids))]
    if packing:
        return {
            "input_ids": torch.tensor([[token for ids, _ in pairs for token in ids]]),
            "labels": torch.tensor([[label for _, labels in pairs for label in labels]]),
            "position_ids": torch.tensor([[place for ids, _ in pairs for place in range(len(ids))]]),
        }
    longest = max(len(ids) for ids, _ in pairs)
    short = [longest - len(ids) for ids, _ in pairs]
    return {
        "input_ids": torch.tensor([ids + [pad] * fill for (ids, _), fill in zip(pairs, short, strict=True)]),
        "labels": torch.tensor([labels + [IGNORED] * fill for (_, labels), fill in zip(pairs, short, strict=True)]),
        "attention_mask": torch.tensor([[1] * (longest - fill) + [0] * fill for fill in short]),
    }


def _fits(lengths: Sequence[int], room: Room, packing: bool) -> bool:
    tokens = sum(lengths) if packing else len(lengths) * max(lengths, default=0)
    return room.holds(len(lengths), tokens)


def _deal(lengths: Sequence[int], groups: int) -> list[Group]:
    """Longest first, each to the lightest group (Graham's LPT rule)."""
    lightest = [(0, at) for at in range(groups)]
    dealt: list[Group] = [[] for _ in range(groups)]
    for row in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        load, at = lightest[0]
        dealt[at].append(row)
        heapq.heapreplace(lightest, (load + lengths[row], at))
    return dealt


def _slice(lengths: Sequence[int], groups: int) -> list[Group]:
    """Rows of like length together, so that little is padded."""
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    size, more = divmod(len(order), groups)
    ends = [size * at + min(at, more) for at in range(groups + 1)]
    return [order[start:end] for start, end in pairwise(ends)]
