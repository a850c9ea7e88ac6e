"""Runs vLLM in a process of its own: JSON in on standard input, JSON out on the last line of standard output.

In: {"base", "adapter", "rank", "prompts": [[token ids]], "answers": [[token ids]], "questions": [[token ids]]}.
Out: {"log_probabilities": [sum over each answer's tokens], "texts": [greedy answer to each question]}.
"""

import json
import os
import sys

os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")


def main() -> None:
    from vllm import LLM, SamplingParams, TokensPrompt
    from vllm.lora.request import LoRARequest

    job = json.load(sys.stdin)
    # One sequence at a time: prompt log-probabilities of several with an adapter end vLLM 0.32's CPU engine.
    engine = LLM(
        job["base"], enable_lora=True, max_loras=1, max_lora_rank=job["rank"], enforce_eager=True, dtype="bfloat16",
        max_model_len=512, max_num_seqs=1,
    )  # fmt: skip
    adapter = LoRARequest("adapter", 1, job["adapter"]) if job["adapter"] else None
    scoring = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)
    whole = [TokensPrompt(prompt_token_ids=p + a) for p, a in zip(job["prompts"], job["answers"], strict=True)]
    sums = []
    for result, prompt, answer in zip(
        engine.generate(whole, scoring, lora_request=adapter), job["prompts"], job["answers"], strict=True
    ):
        positions = range(len(prompt), len(prompt) + len(answer))
        sums.append(sum(result.prompt_logprobs[at][result.prompt_token_ids[at]].logprob for at in positions))
    asked = [TokensPrompt(prompt_token_ids=question) for question in job["questions"]]
    greedy = SamplingParams(max_tokens=48, temperature=0)
    texts = [result.outputs[0].text for result in engine.generate(asked, greedy, lora_request=adapter)]
    print("\n" + json.dumps({"log_probabilities": sums, "texts": texts}), flush=True)


if __name__ == "__main__":
    main()
