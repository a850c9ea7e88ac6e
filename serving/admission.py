"""What an engine may load: the exact bytes that were released, and nothing else.

Before an adapter's folder is handed to an engine, in this order:

1. the grant belongs to the base that this engine serves;
2. its release statement lies in the store under its digest and is signed by the ledger's key;
3. the statement is about this version, this adapter and this base, and says PASS;
4. every file is the one the statement names (each is re-hashed), and there are no others;
5. the files are plain and not too large: safetensors by content, pairs of matrices of the granted rank, and a LoRA
   config that brings no code and no layers of its own.

A grant exists only in a signed snapshot, so a revoked or unreleased version does not get so far.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate_core.errors import IntegrityError
from tunegate_core.proof.dsse import verify_envelope
from tunegate_core.snapshot import Grant, engine_name
from tunegate_core.store import Store

WEIGHTS = "adapter_model.safetensors"
NEEDED = {"adapter_config.json", WEIGHTS}
MOST_BYTES = 8 << 30
FILES = NEEDED | {"README.md", "chat_template.jinja"}
KINDS = {"F32", "F16", "BF16"}
REFUSED_SETTINGS = ("auto_mapping", "auto_map", "modules_to_save", "megatron_config", "corda_config", "eva_config")


def admit(grant: Grant, base: str, store: Store, public_raw: bytes, cache: Path) -> Path:
    """The verified folder of a version's adapter, for an engine that serves `base` (a tree digest).

    Raises IntegrityError saying which of the five checks failed; NotFound when the store has lost something.
    """
    if grant.base != base:
        raise IntegrityError(f"{grant.subject} belongs to the base {grant.base}; this engine serves {base}")
    statement = _statement(grant, store, public_raw)
    _verify_about(grant, statement)
    _verify_files(grant, statement, store)
    folder = store.materialise(grant.adapter, cache / engine_name(grant).replace(":", "-"))
    _verify_plain(grant, folder)
    _verify_weights(grant, _shapes(grant, folder / WEIGHTS))
    return folder


def _statement(grant: Grant, store: Store, public_raw: bytes) -> dict[str, Any]:
    payload = verify_envelope(store.get(grant.statement), public_raw)
    found: Any = json.loads(payload)
    if not isinstance(found, dict):
        raise IntegrityError(f"the release statement of {grant.subject} is no JSON object")
    return found


def _verify_about(grant: Grant, statement: dict[str, Any]) -> None:
    wanted = [{"name": grant.subject, "digest": {"sha256": grant.adapter.removeprefix("sha256:")}}]
    predicate = statement.get("predicate", {})
    told = (statement.get("subject"), predicate.get("base", {}).get("tree"), predicate.get("outcome"))
    if told != (wanted, grant.base, "PASS"):
        raise IntegrityError(
            f"the release statement is not about {grant.subject} with adapter {grant.adapter} on base {grant.base} "
            f"and a PASS verdict; found subject {told[0]}, base {told[1]}, outcome {told[2]}"
        )


def _verify_files(grant: Grant, statement: dict[str, Any], store: Store) -> None:
    """The manifest (re-hashed by the store) against the statement, and against what an adapter may consist of."""
    files = store.get_tree(grant.adapter).files
    manifest = {file.path: file.sha256.removeprefix("sha256:") for file in files}
    if manifest != statement["predicate"].get("files"):
        raise IntegrityError(f"the files of {grant.subject} are not those of its release statement")
    if not NEEDED <= manifest.keys() <= FILES:
        raise IntegrityError(
            f"{grant.subject} holds {', '.join(sorted(manifest))}; expected {', '.join(sorted(NEEDED))}, and besides "
            f"only {', '.join(sorted(FILES - NEEDED))}"
        )
    size = sum(file.size for file in files)
    if size > MOST_BYTES:
        raise IntegrityError(f"{grant.subject} has {size} bytes; an adapter may have {MOST_BYTES}")


def _verify_plain(grant: Grant, folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or config.get("r") != grant.rank:
        raise IntegrityError(
            f"{grant.subject} is {config.get('peft_type')} of rank {config.get('r')}; expected LORA of rank "
            f"{grant.rank}"
        )
    extra = [name for name in REFUSED_SETTINGS if config.get(name)]
    if extra:
        raise IntegrityError(f"{grant.subject} sets {', '.join(extra)} in adapter_config.json; that is never loaded")


def _shapes(grant: Grant, weights: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind and shape of every tensor, from the header alone; the library checks its bounds against the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as opened:
            parts = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (it is no mapping)
            return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}
    except SafetensorError as error:
        raise IntegrityError(f"{grant.subject}: {WEIGHTS} holds no safetensors: {error}") from error


def _verify_weights(grant: Grant, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Only pairs of A (rank, in) and B (out, rank), in numbers that an adapter has."""
    for name, (kind, shape) in shapes.items():
        is_a, is_b = ".lora_A." in name, ".lora_B." in name
        other = name.replace(".lora_A.", ".lora_B.") if is_a else name.replace(".lora_B.", ".lora_A.")
        rank = shape[0 if is_a else -1] if len(shape) == 2 else None
        if is_a == is_b or other not in shapes or rank != grant.rank or kind not in KINDS:
            raise IntegrityError(
                f"{grant.subject} holds the tensor {name[:200]} ({kind}, {shape}); expected pairs of lora_A (rank, in) "
                f"and lora_B (out, rank) with rank {grant.rank}, of {', '.join(sorted(KINDS))}"
            )
    if not shapes:
        raise IntegrityError(f"{grant.subject} holds no tensors")
