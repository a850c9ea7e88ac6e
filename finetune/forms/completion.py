"""Completion rows: `prompt` and `completion` as plain text; no chat template is applied."""

from collections.abc import Mapping
from typing import Any

from finetune.data import Part, require_text


class CompletionForm:
    """Learnt: the completion, as the raw continuation of the prompt, and the end-of-sequence token."""

    fields = ("prompt", "completion")
    learnt = frozenset({"completion"})
    templated = False

    def read(self, record: Mapping[str, Any]) -> tuple[Part, ...]:
        """Prompt and completion. Raises FormProblem."""
        return tuple(Part(field, require_text(record[field], field)) for field in self.fields)


PLUGIN = CompletionForm()
