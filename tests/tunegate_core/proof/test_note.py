"""Signed notes and checkpoints: the published examples, and everything that must not pass."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from tunegate_core.proof.note import format_note, key_hash, log_name, parse_note, verify_note

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))

# The example of Go's golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n"


def sign(body: str, name: str | None = None, key: Ed25519PrivateKey = PRIVATE) -> str:
    public = key.public_key().public_bytes_raw()
    return format_note(body, name or log_name(public), public, key.sign(body.encode()))


def test_the_note_of_go_verifies() -> None:
    public = base64.b64decode(GO_KEY.split("+", 2)[2])[1:]
    assert key_hash("PeterNeumann", public).hex() == "c74f20a3"
    assert verify_note(GO_NOTE, public, "PeterNeumann") == GO_TEXT


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1), min_size=1, max_size=4))
def test_what_is_signed_verifies(lines: list[str]) -> None:
    body = "\n".join(lines) + "\n"
    note = sign(body)
    assert verify_note(note, PUBLIC, log_name(PUBLIC)) == body


def test_lines_by_witnesses_are_ignored() -> None:
    body = "tunegate/x\n1\nAAAA\n"
    note = sign(body)
    line = sign(body, "witness.example", OTHER).rpartition("\n\n")[2]
    assert verify_note(note + line, PUBLIC, log_name(PUBLIC)) == body


def test_a_line_that_claims_our_key_must_verify() -> None:
    body = "text\n"
    forged = sign(body) + format_note(body, log_name(PUBLIC), PUBLIC, bytes(64)).rpartition("\n\n")[2]
    with pytest.raises(IntegrityError, match="is not signed by the key"):
        verify_note(forged, PUBLIC, log_name(PUBLIC))


def test_another_key_and_another_name_are_refused() -> None:
    with pytest.raises(IntegrityError, match="signed by another key"):
        verify_note(sign("text\n", key=OTHER), PUBLIC, log_name(PUBLIC))
    with pytest.raises(IntegrityError, match="signed by another key"):
        verify_note(sign("text\n", name="other"), PUBLIC, log_name(PUBLIC))


@given(st.data())
def test_any_changed_character_is_found(data: st.DataObject) -> None:
    note = sign("tunegate/x\n12\nAAAA\n")
    at = data.draw(st.integers(0, len(note) - 1))
    new = data.draw(st.characters(exclude_characters=[note[at]], exclude_categories=["Cs"]))
    changed = note[:at] + new + note[at + 1 :]
    try:
        body = verify_note(changed, PUBLIC, log_name(PUBLIC))
    except IntegrityError:
        return
    assert body == parse_note(note).body  # only the padding bits of base64 may differ


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        "text\n\n",
        "\n\n— a AAAAAAAA\n",
        "text\n\n— a AAAAAAAA",
        "text\n\n- a AAAAAAAA\n",
        "text\n\n— a b AAAAAAAA\n",
        "text\n\n— a+b AAAAAAAA\n",
        "text\n\n— a !!!!\n",
        "text\n\n— a é\n",
        "text\n\n— a AAAA\n",
        "te\x00xt\n\n— a AAAAAAAA\n",
        "te\ud800xt\n\n— a AAAAAAAA\n",
        "x" * 200_000 + "\n\n— a AAAAAAAA\n",
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        parse_note(text)


@pytest.mark.parametrize(("body", "name"), [("text", "a"), ("text\n", ""), ("text\n", "a b"), ("text\n", "a+b")])
def test_no_note_is_made_that_could_not_be_read(body: str, name: str) -> None:
    with pytest.raises(BadInput):
        format_note(body, name, PUBLIC, bytes(64))


def test_a_checkpoint_says_origin_size_and_root() -> None:
    head = Checkpoint(origin=log_name(PUBLIC), size=12, root="ab" * 32)
    assert head.body() == f"{log_name(PUBLIC)}\n12\n{base64.b64encode(bytes.fromhex('ab' * 32)).decode()}\n"
    assert verify_checkpoint(sign(head.body()), PUBLIC) == head
    assert parse_checkpoint(head.body() + "an extension\n") == head


def test_a_checkpoint_of_another_log_is_refused() -> None:
    head = Checkpoint(origin="another/log", size=12, root="ab" * 32)
    with pytest.raises(IntegrityError, match="of the log 'another/log'"):
        verify_checkpoint(sign(head.body()), PUBLIC)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "origin\n1\n",
        f"origin\n01\n{ROOT}\n",
        f"origin\n-1\n{ROOT}\n",
        f"origin\n1 \n{ROOT}\n",
        f"origin\n\u0661\n{ROOT}\n",
        f"\n1\n{ROOT}\n",
        f"origin\n1\n{ROOT}",
        f"origin\n1\n{ROOT}\n\n",
        "origin\n1\nAAAA\n",
        "origin\n1\n!!!!\n",
        f"origin\n1\n{ROOT[:-2]}B=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(IntegrityError):
        parse_checkpoint(body)
