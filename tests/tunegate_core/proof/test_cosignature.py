"""C2SP cosignatures: the form to the byte, and nothing that another key, time or text signed."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.cosignature import (
    WitnessKey,
    cosigned_bytes,
    format_cosignature,
    parse_vkey,
    verify_cosignature,
)

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEY = WitnessKey(name="witness.example/w1", public=PUBLIC.hex())
BODY = "example.com/log\n7\n" + base64.b64encode(bytes(32)).decode() + "\n"
LOG_LINE = "— example.com/log " + base64.b64encode(bytes(68)).decode() + "\n"
TIME = 1679315147


def note(time: int = TIME, body: str = BODY, signed: str = BODY) -> str:
    return f"{body}\n{LOG_LINE}{format_cosignature(KEY, time, PRIVATE.sign(cosigned_bytes(signed, time)))}"


def test_the_signed_bytes_are_those_of_the_specification() -> None:
    published = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosigned_bytes(published, TIME) == f"cosignature/v1\ntime 1679315147\n{published}".encode()


def test_the_line_is_that_of_the_specification() -> None:
    """Written a second time from the text of the specification."""
    line = note().splitlines()[-1].split(" ")
    data = base64.b64decode(line[2])
    assert line[:2] == ["—", "witness.example/w1"]
    assert data[:4] == hashlib.sha256(b"witness.example/w1\n\x04" + PUBLIC).digest()[:4]
    assert int.from_bytes(data[4:12], "big") == TIME
    assert len(data) == 76
    published = (
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    example = base64.b64decode(published)  # of the specification's own example: the same places
    assert (len(example), int.from_bytes(example[4:12], "big")) == (76, TIME)


def test_a_vkey_goes_there_and_back() -> None:
    assert parse_vkey(KEY.vkey()) == KEY
    assert parse_vkey(KEY.vkey() + "\n") == KEY
    name, told, encoded = KEY.vkey().split("+", 2)
    log_key = base64.b64encode(b"\x01" + PUBLIC).decode()
    wrong = ["", name, f"{name}+{told}", f"other+{told}+{encoded}", f"{name}+00000000+{encoded}",
             f"{name}+{told}+{log_key}", f"{name}+{told}+{encoded[:-4]}", f"{name}+{told}+???"]  # fmt: skip
    for text in wrong:
        with pytest.raises(BadInput):
            parse_vkey(text)


def test_what_was_cosigned_verifies() -> None:
    assert verify_cosignature(note(), KEY) == TIME
    both = note(TIME) + note(TIME + 5).splitlines(keepends=True)[-1]
    assert verify_cosignature(both, KEY) == TIME + 5
    assert verify_cosignature(f"{BODY}\n{LOG_LINE}", KEY) is None
    other = WitnessKey(name="witness.example/w2", public=KEY.public)
    assert verify_cosignature(note(), other) is None


@given(at=st.integers(0, 75), bit=st.integers(0, 7))
def test_no_bit_of_a_cosignature_can_change(at: int, bit: int) -> None:
    lines = note().splitlines(keepends=True)
    data = bytearray(base64.b64decode(lines[-1].split(" ")[2]))
    data[at] ^= 1 << bit
    changed = "".join(lines[:-1]) + f"— {KEY.name} {base64.b64encode(bytes(data)).decode()}\n"
    if at < 4:
        assert verify_cosignature(changed, KEY) is None  # of another key
    else:
        with pytest.raises(IntegrityError):
            verify_cosignature(changed, KEY)


def test_another_text_is_not_cosigned() -> None:
    with pytest.raises(IntegrityError):
        verify_cosignature(note(signed=BODY.replace("7", "8")), KEY)
    short = f"{BODY}\n— {KEY.name} {base64.b64encode(KEY.key_hash + bytes(20)).decode()}\n"
    with pytest.raises(IntegrityError, match="no time and signature"):
        verify_cosignature(short, KEY)
