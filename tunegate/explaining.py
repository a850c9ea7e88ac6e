"""Why a candidate answers as it does: words it hangs on, edits that change it, and training rows that read alike.

Out of the release path: no check uses it, and it is recorded only where that is asked for (`tunegate.explained`).
"""

import json
from collections.abc import Sequence
from typing import Any

from tunegate.house import House
from tunegate.recording import standing
from tunegate.steps import adapter_folder
from tunegate_core.errors import BadInput

NEAREST = 5
SHOWN_CHARACTERS = 400


def explain(house: House, subject: str, prompt: str) -> dict[str, Any]:
    """The explanation of one answer of a sealed candidate; `rows` names the set of the training rows, None without any.

    Raises BadInput before it is sealed.
    """
    from eval.explaining import explain as run
    from finetune.base import open_base

    now = standing(house, subject)
    if not now.has("sealed"):
        raise BadInput(f"{subject} has no sealed adapter yet; train it first, or name another version")
    base = open_base(now.planned.base, house.store, house.cache)
    found = run(base, adapter_folder(house, now.adapter), prompt)
    name, rows = _training_rows(house, subject)
    alike = nearest(f"{prompt} {found.answer}", rows)
    return {"version": subject, **found.model_dump(mode="json"), "rows": name, "nearest": alike}


def nearest(text: str, rows: Sequence[str | None]) -> list[dict[str, Any]]:
    """The rows that read most alike: cosine of TF-IDF weights over words (scikit-learn), without erased ones."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    kept = [(number, row) for number, row in enumerate(rows) if row is not None]
    if not kept:
        return []
    table = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform([*(row for _, row in kept), text])
    alike = (table[:-1] @ table[-1].T).toarray().ravel()
    best = sorted(range(len(kept)), key=lambda at: (-alike[at], at))[:NEAREST]
    return [
        {"row": kept[at][0], "similarity": float(alike[at]), "text": kept[at][1][:SHOWN_CHARACTERS]}
        for at in best
        if alike[at] > 0
    ]


def _training_rows(house: House, subject: str) -> tuple[str | None, list[str | None]]:
    """The set this adapter learnt from, and its texts; of a candidate that judges an adapter, those of that adapter."""
    planned = standing(house, subject).planned
    while planned.data is None and planned.source_adapter is not None:
        planned = standing(house, planned.source_adapter).planned
    if planned.data is None:
        return None, []
    return planned.data.rows, [_words(row) for row in house.rows.get(planned.data.rows)]


def _words(row: str | None) -> str | None:
    """What a row says, without its keys."""
    if row is None:
        return None
    found: list[str] = []
    waiting = [json.loads(row)]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting = [part for key, part in value.items() if key != "role"] + waiting
        elif isinstance(value, list):
            waiting = [*value, *waiting]
    return " ".join(found)
