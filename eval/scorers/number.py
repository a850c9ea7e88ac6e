"""`number`: the last number of the answer equals the row's. `1,250.0`, `1250` and `$1 250` are the same number.

An answer without a number is not measured: what it means can't be told from it.
"""

import re
from decimal import Decimal

from eval.results import NOT_PARSED
from eval.scorer import Rule, Said
from tunegate_core.config import TaskBlock

_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:[, \u00a0\u202f]\d{3})+|\d+)(?:\.\d+)?")


def number(said: Said, block: TaskBlock) -> bool | str:
    """Whether the last number said is the expected one."""
    wanted, found = last_number(said.expected[0]), last_number(said.text)
    if wanted is None or found is None:
        return NOT_PARSED if found is None else "the row's answer holds no number"
    return wanted == found


def last_number(text: str) -> Decimal | None:
    """The last number in a text, or None."""
    found = _NUMBER.findall(text)
    return Decimal(re.sub(r"[, \u00a0\u202f]", "", found[-1]).replace("−", "-")) if found else None


PLUGIN = Rule("text", number)
