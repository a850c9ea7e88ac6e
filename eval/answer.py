"""One answer, as a user would get it: the chat template, greedy decoding, with or without an adapter."""

from pathlib import Path
from typing import Any

from eval.model import Arms, Precision
from eval.quiet import quiet


def generate(
    base_folder: Path,
    adapter_folder: Path | None,
    question: str,
    max_new_tokens: int = 64,
    precision: Precision = "float32",
) -> str:
    """What the base, or the base with an adapter, says to one question; at most `max_new_tokens` tokens."""
    arms = Arms(base_folder, {} if adapter_folder is None else {"candidate": adapter_folder}, precision)
    tokenizer = arms.tokenizer
    asked = tuple(tokenizer(arms.prompt(question), add_special_tokens=False)["input_ids"])
    with quiet(), arms.on("base" if adapter_folder is None else "candidate") as model:
        told = complete(model, tokenizer, asked, max_new_tokens)
    return str(tokenizer.decode(told, skip_special_tokens=True)).strip()


def complete(model: Any, tokenizer: Any, prompt: tuple[int, ...], max_new_tokens: int) -> tuple[int, ...]:
    """The tokens after one prompt, by the model's own `generate`: greedy, whatever its settings are."""
    import torch

    asked = torch.tensor([prompt], device=model.device)
    with torch.inference_mode():
        told = model.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        )
    return tuple(told[0, len(prompt) :].tolist())
