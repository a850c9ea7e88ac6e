"""Fixtures of the finetune room: conversations."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def silent(stage: str, done: float, total: float, **figures: float) -> None:
    """Progress nobody watches."""


@pytest.fixture
def chats(tmp_path: Path) -> Callable[[list[list[tuple[str, str]]]], Path]:
    """Writes conversations, given as (role, content) pairs, to a JSONL file."""

    def write(conversations: list[list[tuple[str, str]]]) -> Path:
        path = tmp_path / "chats.jsonl"
        lines = [
            json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]})
            for turns in conversations
        ]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write
