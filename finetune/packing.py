"""Rows become the tensors of one micro-batch: behind one another in one sequence, or padded side by side.

Packed rows are told apart by positions that start again at 0, without an attention mask and without a cache; where the
self-test does not prove that this keeps them apart, rows are padded. The first token of a row is never a target, so
that no row is asked to predict the next one's beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from finetune.loss import IGNORED

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Packer:
    """The collator. `packing` as above; `pad` is the token that fills up padded rows."""

    packing: bool
    pad: int

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """(1, T) tensors of all rows when packed, else (B, T) with a mask."""
        if not self.packing:
            return self._padded(rows)
        return {
            "input_ids": torch.tensor([[token for row in rows for token in row["input_ids"]]]),
            "labels": torch.tensor([[label for row in rows for label in labels_of(row)]]),
            "position_ids": torch.tensor([[place for row in rows for place in range(len(row["input_ids"]))]]),
        }

    def _padded(self, rows: Sequence[Row]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        short = [longest - len(row["input_ids"]) for row in rows]
        pairs = list(zip(rows, short, strict=True))
        return {
            "input_ids": torch.tensor([row["input_ids"] + [self.pad] * fill for row, fill in pairs]),
            "labels": torch.tensor([labels_of(row) + [IGNORED] * fill for row, fill in pairs]),
            "attention_mask": torch.tensor([[1] * (longest - fill) + [0] * fill for fill in short]),
        }


def labels_of(row: Row) -> list[int]:
    """The row's labels, its first token left out of the loss."""
    return [IGNORED, *row["labels"][1:]]
