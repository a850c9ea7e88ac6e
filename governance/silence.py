"""Where items without a score lie: in their clusters, beside the items that have one.

An item that counts as lost must cost what an answer that lost would have cost. Spread out, each as a cluster of its
own, silent items would look like so many independent facts, and the interval would be narrower than with wrong answers:
a candidate that falls silent on a whole cluster would pass where one that gets it wrong does not.
"""

from collections.abc import Sequence

Sizes = Sequence[int]


def silent_in(measured: Sizes, others: Sequence[Sizes], silent: int) -> tuple[list[int], list[int]]:
    """(silent items in each cluster, sizes of further clusters that are silent as a whole).

    `measured`: items with a score in each cluster; `others`: the same of other arms, which tell how large a cluster is
    at least where they count the same clusters. Items that no arm tells of are taken to go silent together, in clusters
    as large as the largest known.
    """
    aligned = [sizes for sizes in others if len(sizes) == len(measured)]
    own = [max(0, max((sizes[at] for sizes in aligned), default=0) - n) for at, n in enumerate(measured)]
    if sum(own) > silent:
        own = [0] * len(measured)
    largest = max((1, *measured, *(size for sizes in others for size in sizes)))
    whole, rest = divmod(silent - sum(own), largest)
    return own, [largest] * whole + [rest] * (rest > 0)
