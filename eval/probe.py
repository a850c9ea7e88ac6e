"""How likely a model finds given answers: the figure that must agree between training, evaluation and serving."""

from collections.abc import Sequence
from pathlib import Path

from eval.model import Arms, Precision
from eval.quiet import quiet


def log_probabilities(
    base_folder: Path,
    adapter_folder: Path | None,
    questions: Sequence[tuple[str, str]],
    precision: Precision = "float32",
) -> list[float]:
    """For each (question, answer): the sum of the log-probabilities (nats) of the answer's tokens.

    The question is rendered as a user's turn by the chat template with the generation prompt; the answer's tokens are
    those that follow the rendered prompt's own; the end of the turn is not among them.
    """
    import torch

    arms = Arms(base_folder, {} if adapter_folder is None else {"candidate": adapter_folder}, precision)
    sums = []
    with quiet(), arms.on("base" if adapter_folder is None else "candidate") as model, torch.inference_mode():
        for question, answer in questions:
            prompt, tokens = prompt_and_answer(arms, question, answer)
            logits_T_V = model(input_ids=torch.tensor([prompt + tokens], device=model.device)).logits[0].float()
            spoken = logits_T_V[len(prompt) - 1 : -1].log_softmax(dim=1)
            chosen = spoken.gather(1, torch.tensor(tokens, device=model.device)[:, None])
            sums.append(float(chosen.sum()))
    return sums


def prompt_and_answer(arms: Arms, question: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of the rendered prompt, and of the answer that continues it."""
    text = arms.prompt(question)
    prompt = list(arms.tokenizer(text, add_special_tokens=False)["input_ids"])
    whole = list(arms.tokenizer(text + answer, add_special_tokens=False)["input_ids"])
    return prompt, whole[len(prompt) :]
