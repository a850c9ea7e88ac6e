"""Which evaluation items a candidate may have learnt: those in its training rows, by `tunegate_core.overlap`.

What the base saw in its own training can't be known here, and a paraphrase is not found.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tunegate_core.overlap import ItemIndex
from tunegate_core.records import Overlap


def overlap_with(item_texts: Sequence[str], training: Sequence[str] | None) -> Overlap | None:
    """Count the items that stand in training rows (canonical JSON); None where there are no rows to look through."""
    if training is None:
        return None
    index = ItemIndex(item_texts)
    exact, within, near = set[int](), set[int](), set[int]()
    for row in training:
        for text in _texts(json.loads(row)):
            exact |= index.same_as(text)
            within |= index.held_by(text)
            near |= index.near(text)
    within -= exact
    return Overlap(exact=len(exact), within=len(within), near=len(near - exact - within), rows=len(training))


def _texts(value: Any) -> Iterator[str]:
    """Every text of a row; who said it is none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(part) if key != "role" else ()
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
