"""Which way of redaction is used is said in the config, and what is not there is told before anything starts."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from serving.redaction import redaction
from tests.serving.conftest import World, wait_until
from tunegate_core.errors import ConfigError
from tunegate_core.redact import redact


@dataclass
class Found:
    """As Presidio's RecognizerResult, in what its anonymizer reads of it."""

    entity_type: str
    start: int
    end: int
    score: float = 0.85


class AnalyzerEngine:
    """Finds one name."""

    def analyze(self, text: str, language: str, entities: list[str] | None = None) -> list[Found]:
        assert language == "en"
        at = text.find("Jane Doe")
        return [Found("PERSON", at, at + 8)] if at >= 0 else []


@dataclass
class EngineResult:
    text: str


class AnonymizerEngine:
    """Puts the kind in its place, as Presidio does where nothing else is said."""

    def anonymize(self, text: str, analyzer_results: list[Found], operators: Any = None) -> EngineResult:
        for found in sorted(analyzer_results, key=lambda found: -found.start):
            text = f"{text[: found.start]}<{found.entity_type}>{text[found.end :]}"
        return EngineResult(text)


@pytest.fixture
def presidio(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stands in for the packages, which are not installed here: the calls are those of Presidio 2.2's documentation."""
    parts = {"presidio_analyzer": AnalyzerEngine, "presidio_anonymizer": AnonymizerEngine, "en_core_web_lg": None}
    for name, part in parts.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        if part is not None:
            setattr(module, part.__name__, part)
        monkeypatch.setitem(sys.modules, name, module)
    yield


def test_patterns_need_nothing() -> None:
    assert redaction("patterns").open() is redact


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no 'presido' \(did you mean 'presidio'\?\); there are: patterns, presidio"):
        redaction("presido")


@pytest.mark.parametrize("missing", ["presidio_analyzer", "presidio_anonymizer", "en_core_web_lg"])
def test_what_is_missing_is_named_with_how_to_get_it(
    missing: str, presidio: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, missing)
    with pytest.raises(ConfigError, match=rf"installed: [^,;]*{missing.replace('_', '.')}.* missing; run pip install"):
        redaction("presidio")


def test_presidio_finds_names_and_loses_nothing_that_patterns_find(world: World, presidio: None) -> None:
    from sqlalchemy import select

    from serving.tables import texts

    way = redaction("presidio").open()
    assert way("I am Jane Doe, a@example.com, password: hunter22") == "I am <PERSON>, [EMAIL], [SECRET]"
    with world.gateway(keeps_text=True, redact=way) as gateway:
        gateway.chat(messages=[{"role": "user", "content": "I am Jane Doe, a@example.com"}])
        row = gateway.rows()[0]
        with gateway.desk.records._tables.reading() as connection:
            wait_until(lambda: connection.execute(select(texts)).first())
            kept = connection.execute(select(texts)).one()
    assert kept.hash == row["text"]
    assert b"I am <PERSON>, [EMAIL]" in kept.body


def test_slow_redaction_slows_no_answer(world: World) -> None:
    import threading

    going_on = threading.Event()

    def slow(text: str) -> str:
        going_on.wait(5)
        return text

    with world.gateway(keeps_text=True, redact=slow) as gateway:
        assert [gateway.chat().status_code for _ in range(3)] == [200] * 3
        assert gateway.desk.records.pending == 3
        going_on.set()
        assert len(gateway.rows(3)) == 3
