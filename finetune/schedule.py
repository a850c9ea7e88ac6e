"""How fast is learnt, and when."""

import math


def rate_at(step: int, steps: int, schedule: str, warmup: float) -> float:
    """Share of the peak rate in step `step` (from 0): linear warm-up over `warmup` of the steps, then the decay."""
    warm = math.ceil(warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    return {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[schedule]
