"""A training row as text again: what stands before the last thing it teaches, and that thing.

Chat rows as the base's template renders them, the others raw, behind the token that the tokenizer puts first: so what
is asked of a model is what it was trained on, token by token.
"""

import json
from collections.abc import Mapping
from typing import Any


def last_taught(row: str, tokenizer: Any) -> tuple[str, str]:
    """The context of a row (canonical JSON), and the last text it teaches: an assistant's turn, a completion or a
    text."""
    told: Mapping[str, Any] = json.loads(row)
    if "messages" in told:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in told["messages"]]
        whole, text = str(tokenizer.apply_chat_template(turns, tokenize=False)), turns[-1]["content"].strip()
        return whole[: whole.rindex(text)], text
    first = "".join(tokenizer.convert_ids_to_tokens(tokenizer("")["input_ids"]))
    return first + str(told.get("prompt", "")), str(told.get("completion", told.get("text")))
