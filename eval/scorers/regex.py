"""`regex`: what the task's `pattern` finds last in the answer (its first group, or all of it) equals the row's answer,
up to case and outer white space. An answer in which it finds nothing is not measured.
"""

import re

from eval.results import NOT_PARSED
from eval.scorer import Rule, Said
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput


def regex(said: Said, block: TaskBlock) -> bool | str:
    """Whether what the pattern finds is what is expected."""
    found = list(re.finditer(str(block.pattern), said.text, re.MULTILINE))
    if not found:
        return NOT_PARSED
    part = found[-1].group(1 if found[-1].re.groups else 0)
    return NOT_PARSED if part is None else part.strip().casefold() == said.expected[0].strip().casefold()


def check(block: TaskBlock) -> None:
    """Raises BadInput for what is no regular expression."""
    try:
        re.compile(str(block.pattern))
    except re.error as error:
        raise BadInput(
            f"task '{block.name}': pattern {block.pattern!r} is no regular expression: {error}; quote it in the YAML"
        ) from error


PLUGIN = Rule("text", regex, check)
