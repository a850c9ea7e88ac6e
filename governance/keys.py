"""Signing keys. Private halves are read and used in this file only; they lie apart, readable by their owner alone.

A key is `<name>.key` (PKCS #8 PEM, mode 0600) with `<name>.pub` beside it, in a folder of mode 0700. It is created
whole or not at all, so that two processes that both find none end with the same one.
"""

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.proof.keys import key_id, parse_public_key

PRIVATE_MODE = 0o600
ADAPTER_KEY = "adapter-signing"
NEXT = ".next"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key that signs. `key_id` is the first 16 hex digits of the SHA-256 of the raw public key."""

    name: str
    public_raw: bytes
    public_pem: bytes
    _private: Ed25519PrivateKey = field(repr=False)

    @property
    def key_id(self) -> str:
        """The key's short name, the same everywhere."""
        return key_id(self.public_raw)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature (RFC 8032) over the message."""
        return self._private.sign(message)


def load_or_create(folder: Path, name: str, in_use: bool = False) -> SigningKey:
    """The key of this name, made now if there is none. Raises StoreFault when the folder can't be written.

    A key that was left out of a copy is never replaced by another: NotFound where only its public half lies, or where
    the caller knows that it is `in_use`, because something was signed with it.
    """
    path = _private_path(folder, name)
    if not path.exists():
        _refuse_to_replace(path, in_use)
        _write_new(path, _private_pem(Ed25519PrivateKey.generate()))
    return load(folder, name)


def load(folder: Path, name: str) -> SigningKey:
    """The key of this name. Raises NotFound naming those there are, IntegrityError for a file that is no such key."""
    path = _private_path(folder, name)
    private = _load_private(path)
    if not isinstance(private, Ed25519PrivateKey):
        raise IntegrityError(f"{path} holds no Ed25519 key; put back the right file from a backup")
    public = private.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _publish(path.with_suffix(".pub"), pem)
    return SigningKey(name, public.public_bytes_raw(), pem, private)


def start_replacing(folder: Path, name: str) -> tuple[SigningKey, SigningKey]:
    """The key of this name and the one that is to take its place, made now or by a try that did not end."""
    return load(folder, name), load_or_create(folder, f"{name}{NEXT}")


def finish_replacing(folder: Path, name: str) -> SigningKey:
    """Put the new key in the place of the old one, whose private half is gone for good. Raises NotFound, StoreFault."""
    new = load(folder, f"{name}{NEXT}")
    path = _private_path(folder, name)
    try:
        path.with_suffix(".pub").unlink(missing_ok=True)  # it is written again from the private half
        os.replace(_private_path(folder, f"{name}{NEXT}"), path)
        (folder / f"{name}{NEXT}.pub").unlink(missing_ok=True)
        _sync(folder)
    except OSError as error:
        raise StoreFault(f"can't put the new key in place of {path}: {error.strerror}") from error
    return SigningKey(name, new.public_raw, load(folder, name).public_pem, new._private)


def remove(folder: Path, name: str) -> None:
    """Delete a key that counts no more, both halves. Raises StoreFault."""
    try:
        for path in (_private_path(folder, name), folder / f"{name}.pub"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreFault(f"can't remove the key {name} in {folder}: {error.strerror}") from error


def load_public(folder: Path, name: str) -> bytes:
    """The public half (PEM) of this name's key, all that reading and verifying need. Raises NotFound without any."""
    path = _private_path(folder, name)
    public = path.with_suffix(".pub")
    if not public.exists() and path.exists():
        return load(folder, name).public_pem
    try:
        pem = public.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no {public}; it is made with the first release; or put it back from a backup"
        ) from error
    except OSError as error:
        raise StoreFault(f"can't read the key {public}: {error.strerror}") from error
    parse_public_key(pem)
    return pem


def load_or_create_adapter_key(folder: Path) -> tuple[Path, Path]:
    """The P-256 key that signs adapter folders for other tools: the paths of its private and public PEM files."""
    path = folder / f"{ADAPTER_KEY}.pem"
    if not path.exists():
        _refuse_to_replace(path, in_use=False)
        _write_new(path, _private_pem(ec.generate_private_key(ec.SECP256R1())))
    private = _load_private(path)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise IntegrityError(f"{path} holds no P-256 key; put back the right file from a backup")
    public = path.with_suffix(".pub")
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    _publish(public, private.public_key().public_bytes(encoding, form))
    return path, public


def _refuse_to_replace(path: Path, in_use: bool) -> None:
    is_known = path.with_suffix(".pub").exists()
    if is_known or in_use:
        why = "only its public half is" if is_known else "and what lies here was signed with it"
        raise NotFound(
            f"{path} is not here, {why}; nothing can be signed or recorded without it; put it back from a backup "
            "with keys ('tunegate backup --with-keys')"
        )


def _load_private(path: Path) -> object:
    """The private key in a PEM file of mode 0600."""
    try:
        if path.stat().st_mode & 0o077:
            raise StoreFault(f"others can read the private key {path}; expected mode 0600; run 'chmod 600 {path}'")
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        known = ", ".join(sorted(found.stem for found in path.parent.glob("*.key"))) or "none yet"
        what = f"there is no key {path}; there are: {known}; make one with 'tunegate keys create NAME'"
        raise NotFound(what) from error
    except OSError as error:
        raise StoreFault(f"can't read the key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{path} is no private key in PEM; put back the right file from a backup") from error


def _private_path(folder: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} can't name a key; expected small letters, digits, '.', '_' and '-', at most 63")
    return folder / f"{name}.key"


def _private_pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, data: bytes) -> None:
    """Create the file whole; if another process was first, keep its file."""
    draft = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)  # unlike a rename, never replaces a key that is there
        _sync(path.parent)
    except OSError as error:
        raise StoreFault(
            f"can't write a key to {path.parent}: {error.strerror}; set TUNEGATE_HOME to a folder you can write"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(path: Path, pem: bytes) -> None:
    """Put the public half beside the private one; a read-only folder is no reason not to sign."""
    with suppress(OSError):
        if not path.exists():
            draft = path.parent / f".{path.name}.{secrets.token_hex(8)}"
            draft.write_bytes(pem)
            os.replace(draft, path)
