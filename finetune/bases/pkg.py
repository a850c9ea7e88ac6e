"""A base model that travels in an installed Python package as one GGUF file.

The package is found, not imported. transformers dequantises the file; the weights are moved to a model built from the
config without its quantization, because the loaded one refuses to be saved. What is saved is bf16 safetensors.
"""

import importlib.metadata
import importlib.util
import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from finetune.base import Located
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.store import hash_file

# What decides the bytes besides the file itself: another version may dequantise or write differently.
WRITERS = ("gguf", "tokenizers", "torch", "transformers")
# Facts about this machine or the versions at hand that say nothing about the model.
UNPORTABLE = ("_name_or_path", "_model_name_or_path", "is_local", "local_files_only", "transformers_version")


class PackageSource:
    """Reads `pkg://NAME` or `pkg://NAME@VERSION`."""

    def locate(self, name: str, revision: str | None) -> Located:
        """Find the package and its GGUF file. Raises NotFound or BadInput."""
        name, _, wanted = name.partition("@")
        if revision is not None:
            raise BadInput(f"pkg://{name} has no hub revisions; remove finetune.base.revision and pin the package")
        folder, version = _package(name)
        if wanted and wanted != version:
            raise NotFound(f"pkg://{name}@{wanted} is asked for, {version} is installed; install {name}=={wanted}")
        file = _gguf(folder, name)
        versions = {writer: importlib.metadata.version(writer) for writer in WRITERS}
        return Located(f"pkg://{name}@{version}", {"file": hash_file(file), **versions}, folder)

    def fill(self, located: Located, draft: Path) -> str | None:
        """Dequantise and save: config.json, generation_config.json, model.safetensors, tokenizer files, template."""
        file = _gguf(located.folder, located.source)
        with _quiet():
            _save_model(file, draft)
            _save_tokenizer(file, draft)
        for path in draft.glob("*config.json"):
            _make_portable(path)
        return _licence(file)


@contextmanager
def _quiet() -> Iterator[None]:
    """The readers announce each conversion and draw bars of their own; ours is the progress port."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def _package(name: str) -> tuple[Path, str]:
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise NotFound(f"pkg://{name}: no such package is installed; install it (pip install {name.replace('_', '-')})")
    return Path(spec.origin).parent, _version(name)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # a distribution need not be called like its package
        owners = importlib.metadata.packages_distributions().get(name)
        return importlib.metadata.version(owners[0]) if owners else "unknown"


def _gguf(folder: Path, name: str) -> Path:
    files = sorted(folder.rglob("*.gguf"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise BadInput(f"{name}: expected exactly one .gguf file in the package, found {found}")
    return files[0]


def _save_model(file: Path, draft: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(type(loaded.config)(**settings), dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = loaded.generation_config
    model.save_pretrained(draft)


def _save_tokenizer(file: Path, draft: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(draft)


def _make_portable(path: Path) -> None:
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    kept = {key: value for key, value in config.items() if key not in UNPORTABLE}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", "utf-8")


def _licence(file: Path) -> str | None:
    """The licence the GGUF header declares (this reader leaves out the long token lists, which take seconds)."""
    from transformers.integrations.gguf.reader import read_gguf_metadata

    declared = read_gguf_metadata(str(file))[0].get("general.license")
    return str(declared) if declared else None


PLUGIN = PackageSource()
