"""One answer, as a user would get it: the chat template, greedy decoding, with or without an adapter."""

from pathlib import Path

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
    import torch

    arms = Arms(base_folder, {} if adapter_folder is None else {"candidate": adapter_folder}, precision)
    tokenizer = arms.tokenizer
    asked = tokenizer(arms.prompt(question), add_special_tokens=False, return_tensors="pt")
    with quiet(), arms.on("base" if adapter_folder is None else "candidate") as model, torch.inference_mode():
        told = model.generate(
            **asked.to(model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        )
    length = asked["input_ids"].shape[1]
    return str(tokenizer.decode(told[0, length:], skip_special_tokens=True)).strip()
