"""Whether a stored text speaks of somebody: their words, one after another, whole, whatever their case or spelling.

Texts are compared in one form (NFKC, case folded), so that a letter with its accent apart is found as well. What is
JSON is read first: in it a line's end is written as two characters, the second of which is a letter.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tunegate_core.errors import BadInput
from tunegate_core.rows import plain

FEWEST = 3
WORD = re.compile(r"\w+")


def speaks_of(subject: str) -> Callable[[str], bool]:
    """Whether these words stand in a text. Raises BadInput for too few letters."""
    words = plain(subject).split()
    if sum(len(word) for word in WORD.findall("".join(words))) < FEWEST:
        raise BadInput(f"'{subject}' is too short to tell a person by; expected at least three letters or digits")
    pattern = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)")
    return lambda text: any(pattern.search(plain(part)) for part in _parts(text))


def hint(text: str) -> str:
    """The longest word of a text in the form of `plain`, to look for before anything is taken apart: no quoting changes
    it."""
    return max(WORD.findall(plain(text)), key=len, default="")


def _parts(text: str) -> Iterator[str]:
    yield text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            yield from _strings(inner)
