"""A base model, its tokenizer and its chat template are materialised once, as one store tree.

Training, evaluation and serving accept only the digest of that tree. Weights come as safetensors or not at all, no
code of a model is ever run, and the same source gives the same tree anywhere: nothing of the machine is in it.

A materialisation is remembered in a small index in the cache, keyed by everything its bytes depend on. The index may
be lost at any time; it saves work and decides nothing.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tunegate_core.canonical import canonical_json, digest, digest_json
from tunegate_core.config import BaseBlock
from tunegate_core.errors import BadInput, NotFound, StoreFault, TunegateError
from tunegate_core.ports import Progress
from tunegate_core.records import BaseModelRecord
from tunegate_core.registry import load, names
from tunegate_core.store import Store

SOURCES = "finetune.bases"
TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
SMALL_FILES = ("config.json", "generation_config.json", TEMPLATE_FILE, *TOKENIZER_FILES)
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "NOTICE")
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
# Raised when what the materialisation writes changes: older index entries then no longer count.
LAYOUT = 1


@dataclass(frozen=True)
class Located:
    """A base model found, not yet read: `source` is how to get it again, `identity` all that its bytes depend on."""

    source: str
    identity: Mapping[str, str]
    folder: Path


class BaseSource(Protocol):
    """A place base models come from. Both methods raise BadInput or NotFound, saying what to do."""

    def locate(self, name: str, revision: str | None) -> Located:
        """Find the model and pin its version, reading as little as possible."""
        ...

    def fill(self, located: Located, draft: Path) -> str | None:
        """Write config, tokenizer files and safetensors weights into `draft`; return the licence if one is declared."""
        ...


def materialise(block: BaseBlock, store: Store, cache: Path, progress: Progress) -> BaseModelRecord:
    """The base model of a config as one store tree, made now or remembered.

    Raises BadInput for a model that is not there, has pickle weights only, needs its own code, is quantised, or is no
    causal language model.
    """
    scheme, name = scheme_of(block.model)
    source: BaseSource = load(SOURCES, scheme)
    located = source.locate(name, block.revision)
    template = _read_template(block.chat_template)
    key = digest_json({"layout": LAYOUT, "template": template, "source": located.source, **located.identity})
    known = _remembered(cache, key, store)
    if known is not None:
        return known
    progress("base model", 0, 1)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".base-", dir=cache))
    except OSError as error:
        raise StoreFault(f"can't write {cache}: {error.strerror}; set TUNEGATE_HOME to a writable folder") from error
    try:
        licence = source.fill(located, draft)
        record = _seal(draft, template, located.source, licence, store)
    except OSError as error:
        raise StoreFault(f"can't write the base model below {cache}: {error}; free some disk space") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remember(cache, key, record)
    progress("base model", 1, 1)
    return record


def open_base(record: BaseModelRecord, store: Store, cache: Path) -> Path:
    """The folder of a materialised base, every file of it verified. Raises NotFound or IntegrityError."""
    return store.materialise(record.tree, cache / record.tree.removeprefix("sha256:"))


def scheme_of(model: str) -> tuple[str, str]:
    """Plug-in name and the rest: `hub://org/name`, `pkg://name`, a folder, or a bare hub name."""
    if "://" in model:
        scheme, name = model.split("://", 1)
        if scheme not in names(SOURCES):
            raise BadInput(f"no base model comes from '{scheme}://'; there are: {', '.join(names(SOURCES))}")
        return scheme, name
    if model.startswith((".", "/", "~")) or Path(model).exists():
        return "folder", model
    return "hub", model


def check_config(config: dict[str, Any], where: str) -> str:
    """The architecture of a model's config.json. Raises BadInput when it can't be adapted here."""
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING_NAMES:
        own = "needs its own code (trust_remote_code), which is refused" if "auto_map" in config else "is not known"
        raise BadInput(f"{where}: model type '{kind}' {own}; choose a model that transformers itself implements")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BadInput(f"{where}: model type '{kind}' is no causal language model; choose one that generates text")
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown method")
        raise BadInput(f"{where}: the weights are quantised ({method}); name the unquantised model instead")
    architectures = config.get("architectures") or [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]]
    return str(architectures[0])


def read_config(folder: Path, where: str) -> dict[str, Any]:
    """`config.json` of a model folder. Raises BadInput when it is missing or not JSON."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{where}: there is no config.json; expected a model in the Hugging Face layout") from error
    except ValueError as error:
        raise BadInput(f"{where}: config.json is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise BadInput(f"{where}: config.json holds no JSON object")
    return config


def weight_files(folder: Path, where: str) -> list[str]:
    """The safetensors files of a model folder. Raises BadInput when there are none, or pickles only."""
    if (folder / WEIGHTS_INDEX).is_file():
        index = json.loads((folder / WEIGHTS_INDEX).read_text("utf-8"))
        shards = sorted(set(index["weight_map"].values()))
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise NotFound(f"{where}: {WEIGHTS_INDEX} names {missing[0]}, which is not there; fetch the model again")
        return [WEIGHTS_INDEX, *shards]
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickles:
        raise BadInput(
            f"{where}: found pickle weights only ({pickles[0]}); expected {WEIGHTS}. Loading a pickle can run code: "
            "convert it to safetensors in a place you trust, or name another revision"
        )
    raise NotFound(f"{where}: found no weights; expected {WEIGHTS} or {WEIGHTS_INDEX}")


def _seal(draft: Path, template: str | None, source: str, licence: str | None, store: Store) -> BaseModelRecord:
    """Put the draft's template in its one place, prove that config and tokenizer load, and store the tree."""
    config = read_config(draft, source)
    architecture = check_config(config, source)
    weights = [name for name in weight_files(draft, source) if name.endswith(".safetensors")]
    text = _settle_template(draft, template, source)
    flat = {**config, **(config.get("text_config") or {})}
    return BaseModelRecord(
        source=source,
        tree=store.put_tree(draft),
        template=digest(text.encode()),
        architecture=architecture,
        parameters=sum(_count(draft / name, source) for name in weights),
        vocabulary=int(flat["vocab_size"]),
        hidden_size=int(flat["hidden_size"]),
        licence=licence,
    )


def _settle_template(draft: Path, template: str | None, where: str) -> str:
    """The chat template in `chat_template.jinja` and nowhere else; empty where the model has none."""
    tokenizer = load_tokenizer(draft, where)
    text = template
    if text is None and tokenizer.chat_template is not None:
        text = tokenizer.get_chat_template()
    config_file = draft / "tokenizer_config.json"
    if config_file.is_file():
        config = json.loads(config_file.read_text("utf-8"))
        if config.pop("chat_template", None) is not None:
            _write(config_file, (json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode())
    if text is not None:
        _write(draft / TEMPLATE_FILE, text.encode())
    return text or ""


def load_tokenizer(folder: Path, where: str) -> Any:
    """The tokenizer of a model folder, without its code. Raises BadInput when transformers can't load it."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds here; all of them mean the files don't fit
        raise BadInput(f"{where}: the tokenizer can't be loaded without running its code: {error}") from error
    if not tokenizer.is_fast:
        raise BadInput(f"{where}: expected a fast tokenizer (tokenizer.json); convert it with transformers first")
    return tokenizer


def link_or_copy(path: Path, target: Path) -> None:
    """`target` as a hard link to a file, or as a copy of it where the disk has no links between the two places."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def _write(path: Path, data: bytes) -> None:
    """Replace a file by a new one; the draft may hold hard links, whose content is not ours to change."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _count(path: Path, where: str) -> int:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise BadInput(f"{where}: {path.name} is no valid safetensors file: {error}; fetch the model again") from error


def _read_template(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: the chat template is not UTF-8 text") from error
    except OSError as error:
        raise NotFound(f"{path}: can't read the chat template: {error.strerror}") from error


def _index(cache: Path) -> Path:
    return cache / "bases.json"


def _remembered(cache: Path, key: str, store: Store) -> BaseModelRecord | None:
    """The record made before under this key, if the index knows it and the store still holds all of its tree."""
    try:
        record = BaseModelRecord.model_validate(json.loads(_index(cache).read_bytes())[key])
        held = store.has(record.tree) and all(store.has(file.sha256) for file in store.get_tree(record.tree).files)
    except (OSError, ValueError, KeyError, TypeError, TunegateError):
        return None  # a lost or damaged index only costs the work again
    return record if held else None


def _remember(cache: Path, key: str, record: BaseModelRecord) -> None:
    path = _index(cache)
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError):
        entries = {}
    draft = path.with_name(f".bases-{os.getpid()}.json")
    draft.write_bytes(canonical_json({**entries, key: record.model_dump(mode="json")}))
    draft.replace(path)
