"""Secrets planted in prompts, answers, keys and errors turn up in no log, metric, record or error."""

import logging
from pathlib import Path

import pytest

from tests.serving.conftest import SECRET, World, bearer, wait_until
from tests.serving.fake_upstream import Fault
from tunegate_core.redact import redact

PLANTED = "PLANTED-7f3a"
FAULTS: tuple[Fault, ...] = ("", "status", "error event", "broken", "no json")


def test_nothing_planted_turns_up(world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture) -> None:
    world.engine.words = ("a", PLANTED, "b", "c")
    world.engine.message = f"the prompt was {PLANTED}"
    caplog.set_level(logging.DEBUG, "serving")
    told = []
    with world.gateway() as gateway:
        for fault in FAULTS:
            world.engine.fault = fault
            for stream in (True, False):
                answer = gateway.chat(
                    messages=[{"role": "user", "content": PLANTED}],
                    user=PLANTED,
                    stream=stream,
                    metadata={"a": PLANTED},
                )
                if answer.status_code != 200:
                    told.append(answer.text)
        for body in (PLANTED, f'{{"model": "{PLANTED}", "messages": [1]}}', f'{{"{PLANTED}": 1}}'):
            told.append(gateway.http.post("/v1/chat/completions", content=body).text)
        wrong = {"Authorization": f"Bearer tg_{1:016x}_{PLANTED}{'x' * 30}"}
        told.append(gateway.http.get(f"/v1/models/{PLANTED}", headers=wrong).text)
        gateway.rows(len(FAULTS) * 2)
        told.append(gateway.http.get("/metrics").text)
    out = capfd.readouterr()
    files = b"".join(path.read_bytes() for path in Path(world.folder).rglob("*") if path.is_file())
    for place in (*told, caplog.text, out.out, out.err, files.decode("latin-1"), str(world.events)):
        assert PLANTED not in place and SECRET not in place


def test_an_unforeseen_fault_says_where_and_not_what(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError(PLANTED)

    monkeypatch.setattr("serving.inference.sanitise", broken)
    with world.gateway() as gateway:
        answer = gateway.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "ValueError at test_secrets.py" in caplog.text
    assert PLANTED not in caplog.text + answer.text


def test_nor_does_one_of_the_small_paths(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError(PLANTED)

    monkeypatch.setattr("serving.gateway.parse_feedback", broken)
    with world.gateway() as gateway:
        answer = gateway.http.post("/v1/feedback", json={"comment": PLANTED})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "ValueError at test_secrets.py" in caplog.text
    assert PLANTED not in caplog.text + answer.text + "".join(capfd.readouterr())


def test_texts_are_kept_only_by_policy_and_redacted(world: World) -> None:
    from sqlalchemy import select

    from serving.tables import texts

    with world.gateway(keeps_text=True) as gateway:
        gateway.chat(messages=[{"role": "user", "content": "I am a@example.com"}], stream=True)
        row = gateway.rows()[0]
        with gateway.desk.records._tables.reading() as connection:
            wait_until(lambda: True)
            kept = connection.execute(select(texts)).all()
    assert [text.hash for text in kept] == [row["text"]]
    assert b"[EMAIL]" in kept[0].body and b"Hello there." in kept[0].body and b"example.com" not in kept[0].body


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to jane.doe+x@mail.example.org now", "EMAIL"),
        (f"my key is {bearer()}", "KEY"),
        ("sk-abcdefghijklmnopqrstuvwx", "KEY"),
        ("Authorization: Bearer abc.def-ghi_jkl", "SECRET"),
        ("password: hunter22", "SECRET"),
        ("-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----", "SECRET"),
        ("card 4111 1111 1111 1111 please", "CARD"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN"),
        ("call +49 30 1234567", "PHONE"),
        ("call (555) 123-4567", "PHONE"),
        ("from 192.168.10.12", "IP"),
    ],
)
def test_what_is_redacted(text: str, kind: str) -> None:
    assert f"[{kind}]" in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize("text", ["order 1234567890123456", "12 + 30 = 42", "version 1.2.3", "On 2026-01-01 at 10:00"])
def test_what_is_not(text: str) -> None:
    assert redact(text) == text
