"""The adapter's signature is accepted by the public model-signing tool, and by it alone told from a changed folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from governance.export import export_signed_adapter
from governance.keys import load_or_create_adapter_key
from tunegate_core.errors import NotFound


def verify(folder: Path, public: Path, signature: Path) -> subprocess.CompletedProcess[str]:
    """The real command line of the OpenSSF model-signing project."""
    command = [sys.executable, "-m", "model_signing", "verify", "key"]
    arguments = ["--public_key", str(public), "--signature", str(signature), str(folder)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("inside", [False, True])
def test_the_public_verifier_accepts_it(tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "adapter"
    (folder / "deep").mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "deep" / "README.md").write_text("card")
    private, public = load_or_create_adapter_key(tmp_path / "keys")
    signature = (folder if inside else tmp_path) / "adapter.sig"
    assert export_signed_adapter(folder, private, signature) == signature
    accepted = verify(folder, public, signature)
    assert accepted.returncode == 0, accepted.stderr + accepted.stdout
    (folder / "adapter_model.safetensors").write_bytes(b"Weights")
    assert verify(folder, public, signature).returncode != 0


def test_an_empty_folder_is_not_signed(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    private, _ = load_or_create_adapter_key(tmp_path / "keys")
    with pytest.raises(NotFound, match="no files to sign"):
        export_signed_adapter(tmp_path / "adapter", private, tmp_path / "adapter.sig")
