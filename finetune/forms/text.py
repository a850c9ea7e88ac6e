"""Text rows: `text`, learnt as it stands."""

from collections.abc import Mapping
from typing import Any

from finetune.data import Part, require_text


class TextForm:
    """Learnt: every token, and the end-of-sequence token."""

    fields = ("text",)
    learnt = frozenset({"text"})
    templated = False

    def read(self, record: Mapping[str, Any]) -> tuple[Part, ...]:
        """The text. Raises FormProblem."""
        return (Part("text", require_text(record["text"], "text")),)


PLUGIN = TextForm()
