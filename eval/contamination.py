"""Which evaluation items a candidate may have learnt: those in its training rows, by `tunegate_core.overlap`.

What the base saw in its own training can't be known here, and a paraphrase is not found.
"""

import json
from collections.abc import Sequence

from tunegate_core.overlap import ItemIndex
from tunegate_core.records import Overlap
from tunegate_core.rows import texts_of


def overlap_with(item_texts: Sequence[str], training: Sequence[str] | None) -> Overlap | None:
    """Count the items that stand in training rows (canonical JSON); None where there are no rows to look through."""
    if training is None:
        return None
    index = ItemIndex(item_texts)
    exact, within, near = set[int](), set[int](), set[int]()
    for row in training:
        for text in texts_of(json.loads(row)):
            exact |= index.same_as(text)
            within |= index.held_by(text)
            near |= index.near(text)
    within -= exact
    return Overlap(exact=len(exact), within=len(within), near=len(near - exact - within), rows=len(training))
