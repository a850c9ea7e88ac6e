"""Per-item results become sufficient statistics: sums per cluster, from which any margin can be judged later.

Clusters stand in the order of their names, and every arm and pair has one entry for each, empty where nothing was
measured: so it is known which clusters went silent. Sums are exact (`math.fsum`), so that they do not depend on the
order of the items.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from eval.results import Result
from eval.task import Item
from tunegate_core.records import Arm, ArmStatistics, Cluster, PairedStatistics
from tunegate_core.stats import Scale


def arm_statistics(
    arm: Arm, subject: str, items: Sequence[Item], results: Sequence[Result], clusters: Sequence[str] | None = None
) -> ArmStatistics:
    """One arm by itself: (n, sum, sum of squares) per cluster, the unmeasured items by reason, and the doubtful ones.

    `clusters`: those to tell of, in order; those of the items when not given.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    for item, result in zip(items, results, strict=True):
        if result.score is not None:
            scores[item.cluster].append(result.score)
    told = [scores[name] for name in (_names(items) if clusters is None else clusters)]
    sums = tuple((len(s), math.fsum(s), math.fsum(x * x for x in s)) for s in told)
    reasons = Counter(result.reason for result in results if result.reason is not None)
    doubts = Counter(result.doubts[0] for result in results if result.doubts)
    return ArmStatistics(
        arm=arm,
        subject=subject,
        clusters=sums,
        unmeasured=dict(sorted(reasons.items())),
        doubtful=dict(sorted(doubts.items())),
    )


def paired_statistics(
    reference: Literal["base", "champion"],
    subject: str,
    items: Sequence[Item],
    candidate: Sequence[Result],
    other: Sequence[Result],
    clusters: Sequence[str] | None = None,
) -> PairedStatistics:
    """Candidate and reference on the same items; an item counts only where both were measured."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item, ours, theirs in zip(items, candidate, other, strict=True):
        if ours.score is not None and theirs.score is not None:
            pairs[item.cluster].append((ours.score, theirs.score))
    sums = tuple(cluster_of(pairs[name]) for name in (_names(items) if clusters is None else clusters))
    unmeasured = len(items) - sum(cluster.n for cluster in sums)
    return PairedStatistics(reference=reference, reference_subject=subject, clusters=sums, unmeasured=unmeasured)


def _names(items: Sequence[Item]) -> list[str]:
    return sorted({item.cluster for item in items})


def scale_of(is_binary: bool, other: Scale, runs: Mapping[Arm, Sequence[Result]]) -> Scale:
    """`binary` for a yes/no metric whose scores are indeed 0 or 1, else the `other`."""
    scores = {result.score for results in runs.values() for result in results if result.score is not None}
    return "binary" if is_binary and scores <= {0.0, 1.0} else other


def cluster_of(scores: Iterable[tuple[float, float]]) -> Cluster:
    """The sums of one cluster from its pairs of scores."""
    pairs = list(scores)
    return Cluster(
        n=len(pairs),
        candidate=math.fsum(c for c, _ in pairs),
        reference=math.fsum(r for _, r in pairs),
        cross=math.fsum(c * r for c, r in pairs),
        candidate_sq=math.fsum(c * c for c, _ in pairs),
        reference_sq=math.fsum(r * r for _, r in pairs),
    )
