"""Signing keys: created whole, once, readable by their owner alone."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from governance.keys import load, load_or_create, load_or_create_adapter_key, load_public
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.proof.keys import is_signed, key_id, parse_public_key, verify_signature


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once_and_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "keys"
    key = load_or_create(folder, "ledger")
    assert load_or_create(folder, "ledger").public_raw == load(folder, "ledger").public_raw == key.public_raw
    assert (mode(folder), mode(folder / "ledger.key")) == (0o700, 0o600)
    assert sorted(path.name for path in folder.iterdir()) == ["ledger.key", "ledger.pub"]
    assert (folder / "ledger.pub").read_bytes() == key.public_pem
    assert parse_public_key(key.public_pem) == key.public_raw
    assert key.key_id == key_id(key.public_raw)
    assert len(key.key_id) == 16
    assert "rivate" not in repr(key)


def test_others_can_check_what_it_signs(tmp_path: Path) -> None:
    key = load_or_create(tmp_path, "alice")
    signature = key.sign(b"message")
    public = load_pem_public_key(key.public_pem)
    assert isinstance(public, Ed25519PublicKey)
    public.verify(signature, b"message")
    verify_signature(key.public_raw, b"message", signature, "the message")
    assert not is_signed(key.public_raw, b"another", signature)
    assert not is_signed(b"short", b"message", signature)
    with pytest.raises(IntegrityError, match="the message is not signed by the key"):
        verify_signature(load_or_create(tmp_path, "bob").public_raw, b"message", signature, "the message")


def create(folder: Path, results: "multiprocessing.Queue[bytes]") -> None:
    results.put(load_or_create(folder, "ledger").public_raw)


def test_processes_at_once_end_with_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    jobs = [context.Process(target=create, args=(tmp_path / "keys", results)) for _ in range(6)]
    for job in jobs:
        job.start()
    found = {results.get(timeout=60) for _ in jobs}
    for job in jobs:
        job.join()
    assert found == {load(tmp_path / "keys", "ledger").public_raw}


def test_a_key_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    load_or_create(tmp_path, "alice")
    with pytest.raises(NotFound, match=r"there are: alice; make one with 'tunegate keys create NAME'"):
        load(tmp_path, "bob")


@pytest.mark.parametrize("name", ["", "../alice", "Alice", "a b", ".hidden", "a/b", "x" * 64])
def test_a_name_can_t_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="can't name a key"):
        load_or_create(tmp_path, name)


def test_a_private_half_left_out_of_a_copy_is_not_replaced(tmp_path: Path) -> None:
    load_or_create(tmp_path, "ledger")
    (tmp_path / "ledger.key").unlink()
    with pytest.raises(NotFound, match=r"ledger\.key is not here, only its public half is; .* put it back"):
        load_or_create(tmp_path, "ledger")
    (tmp_path / "ledger.pub").unlink()
    with pytest.raises(NotFound, match=r"ledger\.key is not here, and what lies here was signed with it"):
        load_or_create(tmp_path, "ledger", in_use=True)
    assert list(tmp_path.iterdir()) == []
    load_or_create_adapter_key(tmp_path)
    (tmp_path / "adapter-signing.pem").unlink()
    with pytest.raises(NotFound, match="only its public half is"):
        load_or_create_adapter_key(tmp_path)


def test_the_public_half_is_read_without_the_private_one(tmp_path: Path) -> None:
    key = load_or_create(tmp_path, "ledger")
    (tmp_path / "ledger.key").write_text("not read")
    assert load_public(tmp_path, "ledger") == key.public_pem
    (tmp_path / "ledger.pub").write_text("no key")
    with pytest.raises(BadInput, match="no public key"):
        load_public(tmp_path, "ledger")
    made = load_or_create(tmp_path, "alice")
    (tmp_path / "alice.pub").unlink()
    assert load_public(tmp_path, "alice") == made.public_pem
    with pytest.raises(NotFound, match=r"there is no .*bob\.pub"):
        load_public(tmp_path, "bob")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path, "alice")
    (tmp_path / "alice.key").chmod(0o644)
    with pytest.raises(StoreFault, match="chmod 600"):
        load(tmp_path, "alice")


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_says_so(tmp_path: Path, content: bytes) -> None:
    load_or_create(tmp_path, "alice")
    (tmp_path / "alice.key").write_bytes(content)
    with pytest.raises(IntegrityError, match="put back the right file"):
        load(tmp_path, "alice")


def test_the_wrong_kind_of_key_is_refused(tmp_path: Path) -> None:
    private, public = load_or_create_adapter_key(tmp_path)
    assert load_or_create_adapter_key(tmp_path) == (private, public)
    assert mode(private) == 0o600
    (tmp_path / "alice.key").write_bytes(private.read_bytes())
    (tmp_path / "alice.key").chmod(0o600)
    with pytest.raises(IntegrityError, match="no Ed25519 key"):
        load(tmp_path, "alice")
    with pytest.raises(BadInput, match="no Ed25519 public key"):
        parse_public_key(public.read_bytes())
    with pytest.raises(BadInput, match="no public key"):
        parse_public_key(b"nonsense")


def test_a_read_only_home_is_a_store_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StoreFault, match="Read-only file system; set TUNEGATE_HOME to a folder you can write"):
        load_or_create(tmp_path / "keys", "ledger")
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFault, match="can't write a key"):
        load_or_create(tmp_path / "file" / "keys", "ledger")
