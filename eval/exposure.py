"""How much likelier a model finds a planted string than strings that might as well have been planted.

Exposure (Carlini, Liu, Erlingsson, Kos and Song 2019, "The Secret Sharer: Evaluating and Testing Unintended
Memorization in Neural Networks", USENIX Security, arXiv 1802.08232): log2 |R| - log2 rank, in bits, where the rank is
that of the planted string by log-perplexity among all strings R it was drawn from. As they allow, it is estimated among
strings sampled from R, of which it can't tell more than log2 of their number. Here the 128 strings are the planted one
and 127 drawn like it, and exposure is given as a share of the 7 bits that are the most: 1 where the planted string is
the likeliest, 0 where it is the least likely. A string that was not learnt has each rank equally often and so 0.2 on
average, not 0.
"""

import math
import random
import string
from collections.abc import Sequence

STRINGS = 128
LEAST_SHAPES = 10_000
_KINDS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)


def shapes(canary: str) -> int:
    """|R|: how many strings are of the canary's shape (each digit any digit, each ASCII letter any of its case)."""
    return math.prod(len(kind) for letter in canary for kind in _KINDS if letter in kind)


def alternatives(canary: str) -> tuple[str, ...]:
    """127 other strings of its shape, drawn from all of them with equal chance; the same ones every time."""
    chance = random.Random(canary)
    found: dict[str, None] = {}
    while len(found) < STRINGS - 1:
        drawn = "".join(_drawn(letter, chance) for letter in canary)
        if drawn != canary:
            found[drawn] = None
    return tuple(found)


def exposure(likelihoods: Sequence[float]) -> float:
    """Exposure of the first string among all, as a share of the most possible: 0 to 1. `likelihoods` in nats; the rank
    counts every string that is as likely or likelier, itself included, as in the paper."""
    rank = sum(other >= likelihoods[0] for other in likelihoods)
    return 1 - math.log2(rank) / math.log2(len(likelihoods))


def _drawn(letter: str, chance: random.Random) -> str:
    return next((chance.choice(kind) for kind in _KINDS if letter in kind), letter)
