"""`contains`: the answer holds one of the row's texts, as whole words; case, punctuation and white space do not count.

A plus or a sharp at the end of a word belongs to it: C, C++ and C# are three.

{"id": "q1", "question": "...", "answer": ["Paris", "the French capital"]}
"""

import re

from eval.scorer import Rule, Said
from tunegate_core.config import TaskBlock

_WORD = re.compile(r"\w+(?:[+#]+(?!\w))?")


def contains(said: Said, block: TaskBlock) -> bool:
    """Whether one of the expected texts is in it."""
    found = f" {_words(said.text)} "
    return any(f" {_words(text)} " in found for text in said.expected)


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold())) or text.strip()


PLUGIN = Rule("texts", contains, settled=(1.0,))
