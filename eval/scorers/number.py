"""`number`: the last number of the answer equals the row's. `1,250.0`, `1250` and `$1 250` are the same number.

A comma with one or two digits after it, or after groups with points, is a decimal comma: `3,50` is three and a half,
`1.250,00` is `1250`. Three digits behind one comma or point are read as in English: `1,250` is `1250`, `1.250` is not.

An answer without a number is not measured: what it means can't be told from it.
"""

import re
from decimal import Decimal

from eval.results import NOT_PARSED
from eval.scorer import Rule, Said
from tunegate_core.config import TaskBlock

_COMMA = r"(?<!\d,)(?:\d{1,3}(?:\.\d{3})+,\d+|\d+,\d{1,2})(?![,.]?\d)"
_POINT = r"(?:\d{1,3}(?:[, \u00a0\u202f]\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = re.compile(rf"(?<![\w.])(?P<sign>[-−]?)(?:(?P<comma>{_COMMA})|(?P<point>{_POINT}))")


def number(said: Said, block: TaskBlock) -> bool | str:
    """Whether the last number said is the expected one."""
    wanted, found = last_number(said.expected[0]), last_number(said.text)
    if wanted is None or found is None:
        return NOT_PARSED if found is None else "the row's answer holds no number"
    return wanted == found


def last_number(text: str) -> Decimal | None:
    """The last number in a text, or None."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    last = found[-1]
    digits = last["point"] or last["comma"].replace(".", "").replace(",", ".")
    return Decimal(("-" if last["sign"] else "") + re.sub(r"[, \u00a0\u202f]", "", digits))


PLUGIN = Rule("text", number)
