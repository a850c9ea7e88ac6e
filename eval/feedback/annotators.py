"""Who agrees with the others more than chance would: a permutation test for each annotator.

If an annotator answers without looking, their labels fit any of their units equally well. So their agreement with the
others (the mean, over the units they share, of the share of others who gave the same label) is compared with that of
their own labels dealt out to these units at random. That keeps how often they use each label, so that who always
answers the same is at chance by definition.

Three answers, as everywhere:

- `agrees`: the test rejects chance at `LEVEL`. Somebody who answers at random is called so in at most `LEVEL` of cases.
- `like chance`: it does not, although somebody who agrees as the others do among themselves would have been told from
  chance with probability `POWER`. Such a person is flagged wrongly in about 1 - `POWER` of cases.
- `too little to tell`: anything else, such as an annotator with one item.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from statistics import NormalDist
from typing import Any, Literal

from pydantic import Field

from tunegate_core.records import Record

LEVEL = 0.05
POWER = 0.95
DEALS = 2000
SEED = 17
MIN_UNITS = 5
ROUNDING = 1e-9

Standing = Literal["agrees", "like chance", "too little to tell"]


class Annotator(Record):
    """`agreement` with the others on `shared` units; `chance`: what it would be; `p`: of the test."""

    author: str
    labels: int = Field(ge=0)
    shared: int = Field(ge=0)
    agreement: float | None = None
    chance: float | None = None
    p: float | None = None
    standing: Standing
    why: str


def annotators(table: Mapping[str, Mapping[str, int]]) -> tuple[Annotator, ...]:
    """Everybody, by name. `table`: unit -> author -> label."""
    authors = sorted({author for told in table.values() for author in told})
    return tuple(_annotator(author, table) for author in authors)


def _annotator(author: str, table: Mapping[str, Mapping[str, int]]) -> Annotator:
    own = [told for told in table.values() if author in told]
    shared = [told for told in own if len(told) > 1]
    if len(shared) < MIN_UNITS:
        why = f"{len(shared)} of {len(own)} items were also labelled by others; at least {MIN_UNITS} are needed"
        return Annotator(author=author, labels=len(own), shared=len(shared), standing="too little to tell", why=why)
    found, chance, spread, p = _dealt(author, shared)
    standing, why = _judged(p, chance, spread, author, shared)
    return Annotator(
        author=author, labels=len(own), shared=len(shared), agreement=found, chance=chance, p=p,
        standing=standing, why=why,
    )  # fmt: skip


def _dealt(author: str, shared: list[Mapping[str, int]]) -> tuple[float, float, float, float]:
    """Agreement as it is; its mean and standard deviation by chance; the one-sided p, at least 1 / (`DEALS` + 1)."""
    import numpy as np

    values = sorted({value for told in shared for value in told.values()})
    place = {value: column for column, value in enumerate(values)}
    shares: Any = np.zeros((len(shared), len(values)))
    for row, told in enumerate(shared):
        for other, value in told.items():
            if other != author:
                shares[row, place[value]] += 1 / (len(told) - 1)
    said = np.array([place[told[author]] for told in shared])
    rows = np.arange(len(shared))
    found = float(shares[rows, said].mean())
    draws = np.random.default_rng(SEED)
    dealt = shares[rows, draws.permuted(np.tile(said, (DEALS, 1)), axis=1)].mean(axis=1)
    p = (1 + int((dealt >= found - 1e-12).sum())) / (DEALS + 1)
    return found, float(dealt.mean()), float(dealt.std()), p


def _among_others(author: str, shared: list[Mapping[str, int]]) -> float | None:
    """How far the others agree on these units; None where there is only one other."""
    pairs = [told[a] == told[b] for told in shared for a, b in combinations(sorted(told), 2) if author not in (a, b)]
    return sum(pairs) / len(pairs) if pairs else None


def _judged(
    p: float, chance: float, spread: float, author: str, shared: list[Mapping[str, int]]
) -> tuple[Standing, str]:
    if p <= LEVEL:
        return "agrees", f"more than chance (p = {p:.4f})"
    if spread < ROUNDING:
        return _constant(author, shared)
    others = _among_others(author, shared)
    if others is None:
        return "too little to tell", "one other annotator labelled these items, and either of the two may be at chance"
    normal = NormalDist()
    if normal.cdf((others - chance) / spread - normal.inv_cdf(1 - LEVEL)) < POWER:
        return "too little to tell", f"not told from chance (p = {p:.2f}), but too few items to have told the others"
    return "like chance", f"not told from chance (p = {p:.2f}), where the others' agreement would have been"


def _constant(author: str, shared: list[Mapping[str, int]]) -> tuple[Standing, str]:
    """One label throughout, by this annotator or by all others: no deal differs from what was said."""
    said = {told[author] for told in shared}
    others = Counter(value for told in shared for other, value in told.items() if other != author)
    usual = max(others.values()) / others.total()
    if len(said) > 1 or usual ** len(shared) > 1 - POWER:
        return "too little to tell", "the others say nearly always the same, so nobody can be told from chance"
    return "like chance", "always the same label, where the others' labels differ"
