"""Short cuts are taken only where they were proved on the model at hand."""

from pathlib import Path

import pytest

from finetune.packing import Rows, batch
from finetune.render import Encoded
from finetune.selftest import prove
from tunegate_core.errors import BadInput

ROWS = [Encoded(list(range(3, 12)), [False] * 4 + [True] * 5, False, 9), Encoded([9, 8, 7], [True] * 3, False, 3)]


def save(config: object, folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def scaled(tmp_path: Path) -> Path:
    """Granite divides its logits."""
    from transformers import GraniteConfig

    return save(
        GraniteConfig(
            vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, logits_scaling=8.0, pad_token_id=0, bos_token_id=None, eos_token_id=1,
        ),
        tmp_path / "scaled",
    )  # fmt: skip


@pytest.fixture
def recurrent(tmp_path: Path) -> Path:
    """A state-space model carries what it has read from row to row."""
    from transformers import MambaConfig

    return save(
        MambaConfig(vocab_size=40, hidden_size=16, state_size=4, num_hidden_layers=1, use_cache=False, pad_token_id=0),
        tmp_path / "recurrent",
    )


def test_a_plain_model_gets_every_short_cut(tiny_base: Path) -> None:
    from finetune.attention import NAME

    proved = prove(tiny_base, ROWS, "auto", gpu=False)
    assert (proved.packing, proved.attention, proved.plain_head) == (True, NAME, True)


def test_packing_off_needs_no_proof(tiny_base: Path) -> None:
    proved = prove(tiny_base, ROWS, "off", gpu=False)
    assert (proved.packing, proved.attention) == (False, None)


def test_a_head_that_scales_is_seen_and_trained_through_its_own_logits(scaled: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from finetune.loss import full_logits_loss, supervised_loss

    assert not prove(scaled, ROWS, "auto", gpu=False).plain_head
    model = AutoModelForCausalLM.from_pretrained(scaled, dtype=torch.float32)
    tensors = batch(Rows.of(ROWS[:1]), [0], packing=True, pad=0)
    labels = tensors.pop("labels")
    with torch.no_grad():
        full = full_logits_loss(model(**tensors, use_cache=False).logits, labels)
        expected = model(**tensors, labels=labels, use_cache=False).loss * (labels[:, 1:] != -100).sum()
        hidden = model.get_decoder()(**tensors, use_cache=False).last_hidden_state
        short = supervised_loss(hidden, model.get_output_embeddings().weight, labels)
    assert full.item() == pytest.approx(expected.item(), rel=1e-5)
    assert abs(short.item() - full.item()) > 1e-2


def test_rows_that_see_each_other_are_not_packed(recurrent: Path) -> None:
    assert not prove(recurrent, ROWS, "auto", gpu=False).packing
    with pytest.raises(BadInput, match="see each other"):
        prove(recurrent, ROWS, "on", gpu=False)
