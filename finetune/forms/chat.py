"""Chat rows: `messages`, each with `role` (system, user, assistant) and `content`; the last one is the assistant's."""

from collections.abc import Mapping
from typing import Any

from finetune.data import FormProblem, Part, require_text

ROLES = ("system", "user", "assistant")


class ChatForm:
    """Learnt: what the assistant says, with the token that ends its turn."""

    fields = ("messages",)
    learnt = frozenset({"assistant"})
    templated = True

    def read(self, record: Mapping[str, Any]) -> tuple[Part, ...]:
        """The messages in order. Raises FormProblem."""
        messages = record["messages"]
        if not isinstance(messages, list) or not messages:
            raise FormProblem("messages is empty or no list, expected a list of messages")
        parts = tuple(_part(message, number) for number, message in enumerate(messages, 1))
        late = [number for number, part in enumerate(parts, 1) if part.role == "system" and number > 1]
        if late:
            raise FormProblem(f"message {late[0]} has the role system, expected it only first")
        if parts[-1].role != "assistant":
            raise FormProblem(f"the last message has the role {parts[-1].role}, expected assistant")
        return parts


def _part(message: Any, number: int) -> Part:
    if not isinstance(message, dict):
        raise FormProblem(f"message {number} is {type(message).__name__}, expected an object with role and content")
    given = {key for key, value in message.items() if value is not None}
    if given - {"role", "content"}:
        key = sorted(given - {"role", "content"})[0]
        raise FormProblem(f"message {number} has the key '{key}', expected role and content only")
    if message.get("role") not in ROLES:
        raise FormProblem(f"message {number} has the role {message.get('role')!r}, expected one of {', '.join(ROLES)}")
    return Part(message["role"], require_text(message.get("content"), f"message {number}'s content"))


PLUGIN = ChatForm()
