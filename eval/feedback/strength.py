"""Which answers are preferred: win rates of two, and one scale for many.

**Win rate.** (wins + ties / 2) / comparisons; a tie is half a win for both. Its interval is that of every other score
(`tunegate_core.stats`): Wilson's, at the variance of what was rated where there are ties, clustered by prompt.

**Bradley-Terry.** P(i preferred to j) = 1 / (1 + exp(b_j - b_i)) (Bradley and Terry 1952, Biometrika 39:324), fitted by
statsmodels' logistic regression without an intercept; a tie counts half for each. Standard errors are clustered by
prompt where prompts were compared more than once. There is no finite answer unless everybody can be reached from
everybody over wins (Ford 1957, American Mathematical Monthly 64:28); then it is refused, with the groups.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from pydantic import Field

from eval.feedback.units import Match
from tunegate_core.records import ArmStatistics, Interval, Record
from tunegate_core.stats import arm_interval

CONFIDENCE = 0.95


class WinRate(Record):
    """How often `a` was preferred to `b`; the interval is one-sided on each side."""

    a: str
    b: str
    wins: int = Field(ge=0)
    ties: int = Field(ge=0)
    losses: int = Field(ge=0)
    prompts: int = Field(ge=0)
    authors: int = Field(ge=0)
    interval: Interval


class Strength(Record):
    """`value`: log odds of being preferred to the reference, whose own is 0; `se`: its standard error."""

    system: str
    value: float
    se: float | None
    low: float | None
    high: float | None


class Strengths(Record):
    """One scale, strongest first; or the reason why there is none."""

    reference: str | None = None
    comparisons: int = Field(ge=0)
    prompts: int = Field(ge=0)
    confidence: float = CONFIDENCE
    method: str = ""
    systems: tuple[Strength, ...] = ()
    why: str | None = None


def win_rates(matches: Sequence[Match]) -> tuple[WinRate, ...]:
    """Each pair that was compared, by name."""
    pairs: dict[tuple[str, str], list[Match]] = defaultdict(list)
    for match in matches:
        pairs[match.a, match.b].append(match)
    return tuple(_win_rate(a, b, found) for (a, b), found in sorted(pairs.items()))


def _win_rate(a: str, b: str, found: Sequence[Match]) -> WinRate:
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for match in found:
        by_prompt[match.prompt].append(match.score)
    clusters = tuple((len(s), sum(s), sum(x * x for x in s)) for _, s in sorted(by_prompt.items()))
    ties = sum(match.score == 0.5 for match in found)
    arm = ArmStatistics(arm="candidate", subject=a, clusters=clusters)
    return WinRate(
        a=a,
        b=b,
        wins=sum(match.score == 1 for match in found),
        ties=ties,
        losses=sum(match.score == 0 for match in found),
        prompts=len(clusters),
        authors=len({match.author for match in found}),
        interval=arm_interval(arm, "share" if ties else "binary", CONFIDENCE),
    )


def bradley_terry(matches: Sequence[Match], reference: str | None = None) -> Strengths:
    """The strength of everybody compared. `reference`: who is 0; the first by name when not given."""
    systems = sorted({name for match in matches for name in (match.a, match.b)})
    prompts = len({match.prompt for match in matches})
    if len(systems) < 2:
        return Strengths(comparisons=len(matches), prompts=prompts, why="nobody was compared")
    groups = _groups(matches, systems)
    if len(groups) > 1:
        told = "; ".join(", ".join(group) for group in groups)
        why = f"no finite strengths: expected a chain of wins from everybody to everybody, found the groups {told}"
        return Strengths(comparisons=len(matches), prompts=prompts, why=why)
    zero = reference if reference in systems else systems[0]
    others = [name for name in systems if name != zero]
    values, errors, method = _fitted(matches, others)
    z = NormalDist().inv_cdf(CONFIDENCE)
    found = [Strength(system=zero, value=0.0, se=None, low=None, high=None)] + [
        Strength(system=name, value=value, se=error, low=value - z * error, high=value + z * error)
        for name, value, error in zip(others, values, errors, strict=True)
    ]
    found.sort(key=lambda one: (-one.value, one.system))
    return Strengths(reference=zero, comparisons=len(matches), prompts=prompts, method=method, systems=tuple(found))


def _fitted(matches: Sequence[Match], others: Sequence[str]) -> tuple[list[float], list[float], str]:
    """Coefficients and standard errors of `others`."""
    import warnings

    import numpy as np
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM
    from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

    place = {name: column for column, name in enumerate(others)}
    design: Any = np.zeros((len(matches), len(others)))
    for row, match in enumerate(matches):
        for name, sign in ((match.a, 1.0), (match.b, -1.0)):
            if name in place:
                design[row, place[name]] += sign
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(match.prompt for match in matches))}
    model = GLM(np.array([match.score for match in matches]), design, family=Binomial())
    groups = np.array([numbers[match.prompt] for match in matches])
    is_clustered = len(others) < len(numbers) < len(matches)
    settings = {"cov_type": "cluster", "cov_kwds": {"groups": groups}} if is_clustered else {}
    with warnings.catch_warnings():  # nothing is separated: a chain of wins was found; only ties are met exactly
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        fitted = model.fit(**settings)
    method = "clustered by prompt" if is_clustered else "independent comparisons"
    return [float(x) for x in fitted.params], [float(x) for x in fitted.bse], method


def _groups(matches: Sequence[Match], systems: Sequence[str]) -> list[list[str]]:
    """Who can be reached from each other over wins and ties."""
    import numpy as np
    from scipy.sparse.csgraph import connected_components

    place = {name: number for number, name in enumerate(systems)}
    beaten: Any = np.zeros((len(systems), len(systems)), dtype=int)
    for match in matches:
        if match.score > 0:
            beaten[place[match.a], place[match.b]] = 1
        if match.score < 1:
            beaten[place[match.b], place[match.a]] = 1
    count, labels = connected_components(beaten, directed=True, connection="strong")
    return [[name for name in systems if labels[place[name]] == group] for group in range(count)]
