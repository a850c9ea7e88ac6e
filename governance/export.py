"""An adapter folder signed in the OpenSSF model-signing format, so that its public verifier accepts it.

The format wants an ECDSA key; the log's Ed25519 key can't be used. `model_signing verify key --public_key PUB
--signature SIG FOLDER` checks what this writes.
"""

from pathlib import Path
from typing import Any

from tunegate_core.errors import NotFound, StoreFault


def export_signed_adapter(folder: Path, key: Path, signature_out: Path) -> Path:
    """Sign every file below `folder` with a P-256 private key (PEM file); write the signature, a Sigstore bundle.

    The signature may lie in the folder: it is left out of what is signed. Raises NotFound for an empty folder,
    StoreFault when the signature can't be written.
    """
    if not any(path.is_file() for path in folder.rglob("*")):
        raise NotFound(f"{folder} holds no files to sign; expected an adapter's folder")
    from model_signing import hashing, signing

    new_hashing: Any = hashing.Config  # the library leaves its constructors untyped
    new_signing: Any = signing.Config
    ignored = [signature_out] if signature_out.is_relative_to(folder) else []
    how = new_hashing().set_ignored_paths(paths=ignored, ignore_git_paths=False)
    try:
        new_signing().use_elliptic_key_signer(private_key=key).set_hashing_config(how).sign(folder, signature_out)
    except OSError as error:
        raise StoreFault(f"can't sign {folder} into {signature_out}: {error}") from error
    return signature_out
