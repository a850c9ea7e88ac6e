"""An engine loads exactly what was released; everything else is refused with its reason."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save

from governance.keys import SigningKey, load_or_create
from governance.statement import sign_statement
from serving import admission
from serving.admission import admit
from tunegate_core.canonical import digest
from tunegate_core.errors import BadInput, IntegrityError, TunegateError
from tunegate_core.snapshot import Grant
from tunegate_core.store import Store

BASE, OTHER = digest(b"a base"), digest(b"another base")
CONFIG = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def weights(**changes: Any) -> bytes:
    """An adapter of rank 4 on one layer of 8 by 8, with other tensors where `changes` says so (None: left out)."""
    pair: dict[str, Any] = {f"{LAYER}.lora_A.weight": (4, 8), f"{LAYER}.lora_B.weight": (8, 4)} | changes
    arrays = {name: numpy.zeros(shape, "float32") for name, shape in pair.items() if isinstance(shape, tuple)}
    return save(arrays | {name: array for name, array in pair.items() if isinstance(array, numpy.ndarray)})


WEIGHTS = weights()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def signer(tmp_path: Path) -> SigningKey:
    return load_or_create(tmp_path / "keys", "ledger")


def release(
    store: Store, signer: SigningKey, folder: Path, change: Callable[[dict[str, Any]], Any] = lambda statement: None
) -> Grant:
    """A release of whatever lies in `folder`; `change` edits the statement before it is signed."""
    tree = store.put_tree(folder)
    statement: dict[str, Any] = {
        "subject": [{"name": "bot@1", "digest": {"sha256": tree.removeprefix("sha256:")}}],
        "predicate": {
            "base": {"tree": BASE},
            "outcome": "PASS",
            "files": {file.path: file.sha256.removeprefix("sha256:") for file in store.get_tree(tree).files},
        },
    }
    change(statement)
    signed = store.put(sign_statement(statement, signer.sign, signer.key_id))
    return Grant(subject="bot@1", adapter=tree, base=BASE, template=digest(b"t"), statement=signed, rank=4)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    (folder / "adapter_model.safetensors").write_bytes(WEIGHTS)
    return folder


def test_what_was_released_is_admitted(store: Store, signer: SigningKey, adapter: Path, tmp_path: Path) -> None:
    folder = admit(release(store, signer, adapter), BASE, store, signer.public_raw, tmp_path / "cache")
    assert (folder / "adapter_model.safetensors").read_bytes() == WEIGHTS
    assert ":" not in folder.name


def pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def pickled_by_content(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(pickle.dumps({"a": [0.0] * 100}))


def holding(content: bytes) -> Callable[[Path], None]:
    """An adapter whose weights file is this."""

    def spoil(folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(content)

    return spoil


def with_code(folder: Path) -> None:
    (folder / "modeling.py").write_text("import os")


def with_layers(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, "modules_to_save": ["lm_head"]}))


def of_another_rank(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, "r": 64}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pickled, "adapter_model.bin"),
        (with_code, "modeling.py"),
        (with_layers, "modules_to_save"),
        (of_another_rank, "rank 64"),
        (pickled_by_content, "holds no safetensors"),
        (holding(b""), "holds no safetensors"),
        (holding((2**63).to_bytes(8, "little") + b"{}"), "holds no safetensors"),  # a header longer than the file
        (holding((10**8 + 1).to_bytes(8, "little") + b"{}"), "holds no safetensors"),
        (holding(WEIGHTS[:-1]), "holds no safetensors"),
        (holding(WEIGHTS + b"a pickle behind it"), "holds no safetensors"),
        (holding(save({})), "no tensors"),
        (holding(weights(**{f"{LAYER}.lora_B.weight": None})), "expected pairs"),
        (holding(weights(**{f"{LAYER}.lora_B.weight": (8, 64)})), "expected pairs"),
        (holding(weights(**{f"{LAYER}.lora_A.weight": (4,)})), "expected pairs"),
        (holding(weights(**{"lm_head.weight": (8, 8)})), "expected pairs"),
        (holding(weights(**{f"{LAYER}.lora_A.weight": numpy.zeros((4, 8), "int64")})), "expected pairs"),
    ],
)
def test_an_adapter_that_is_not_plain_is_refused_though_it_was_signed(
    spoil: Callable[[Path], None], said: str, store: Store, signer: SigningKey, adapter: Path, tmp_path: Path
) -> None:
    spoil(adapter)
    with pytest.raises(IntegrityError, match=said):
        admit(release(store, signer, adapter), BASE, store, signer.public_raw, tmp_path / "cache")


def test_an_adapter_that_is_too_large_is_not_even_copied(
    store: Store, signer: SigningKey, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_BYTES", 100)
    with pytest.raises(IntegrityError, match="may have 100"):
        admit(release(store, signer, adapter), BASE, store, signer.public_raw, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def about_another_version(statement: dict[str, Any]) -> None:
    statement["subject"][0]["name"] = "bot@2"


def about_another_adapter(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def about_another_base(statement: dict[str, Any]) -> None:
    statement["predicate"]["base"]["tree"] = OTHER


def that_failed(statement: dict[str, Any]) -> None:
    statement["predicate"]["outcome"] = "FAIL"


def about_other_files(statement: dict[str, Any]) -> None:
    statement["predicate"]["files"]["adapter_model.safetensors"] = "0" * 64


@pytest.mark.parametrize(
    "change", [about_another_version, about_another_adapter, about_another_base, that_failed, about_other_files]
)
def test_a_statement_about_something_else_admits_nothing(
    change: Callable[[dict[str, Any]], None], store: Store, signer: SigningKey, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError):
        admit(release(store, signer, adapter, change), BASE, store, signer.public_raw, tmp_path / "cache")


def test_a_statement_by_another_key_admits_nothing(
    store: Store, signer: SigningKey, adapter: Path, tmp_path: Path
) -> None:
    stranger = load_or_create(tmp_path / "others", "ledger")
    with pytest.raises(IntegrityError, match="not signed by the key"):
        admit(release(store, stranger, adapter), BASE, store, signer.public_raw, tmp_path / "cache")


def test_an_adapter_of_another_base_is_refused(store: Store, signer: SigningKey, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="this engine serves"):
        admit(release(store, signer, adapter), OTHER, store, signer.public_raw, tmp_path / "cache")


@pytest.mark.parametrize("part", ["adapter", "statement", "weights", "cached"])
def test_a_file_changed_afterwards_is_found(
    part: str, store: Store, signer: SigningKey, adapter: Path, tmp_path: Path
) -> None:
    grant = release(store, signer, adapter)
    cache = tmp_path / "cache"
    blobs = {"adapter": grant.adapter, "statement": grant.statement, "weights": digest(WEIGHTS)}
    if part == "cached":  # a copy on the replica is made again from the store
        folder = admit(grant, BASE, store, signer.public_raw, cache)
        (folder / "adapter_model.safetensors").chmod(0o644)
        (folder / "adapter_model.safetensors").write_bytes(b"changed")
        again = admit(grant, BASE, store, signer.public_raw, cache)
        assert (again / "adapter_model.safetensors").read_bytes() == WEIGHTS
        return
    name = blobs[part].removeprefix("sha256:")
    (stored,) = (path for path in (tmp_path / "store").rglob("*") if path.is_file() and name.endswith(path.name[-60:]))
    stored.chmod(0o644)
    stored.write_bytes(b"changed")
    with pytest.raises((IntegrityError, BadInput)) as caught:
        admit(grant, BASE, store, signer.public_raw, cache)
    assert isinstance(caught.value, TunegateError)
