"""Public Ed25519 keys: reading them, naming them, checking a signature with them. Private keys are governance's."""

import hashlib

from tunegate_core.errors import BadInput, IntegrityError


def key_id(public_raw: bytes) -> str:
    """A key's short name: the first 16 hex digits of the SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(public_raw).hexdigest()[:16]


def parse_public_key(pem: bytes) -> bytes:
    """The 32 raw bytes of an Ed25519 public key in PEM. Raises BadInput when it is anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("this is no public key; expected PEM as printed by 'tunegate keys export'") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput("this is no Ed25519 public key; expected PEM as printed by 'tunegate keys export'")
    return key.public_bytes_raw()


def is_signed(public_raw: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the Ed25519 signature over the message is by this key (RFC 8032)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_signature(public_raw: bytes, message: bytes, signature: bytes, what: str) -> None:
    """Raises IntegrityError naming `what` unless the key signed the message."""
    if not is_signed(public_raw, message, signature):
        raise IntegrityError(f"{what} is not signed by the key {key_id(public_raw)}, or was changed after signing")
