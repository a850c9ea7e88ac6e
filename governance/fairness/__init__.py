"""The fairness report of a candidate: what was measured for which groups, how surely, against base and champion."""

from governance.fairness.page import render_fairness
from governance.fairness.tables import Earlier, fairness_of, scores_of

__all__ = ["Earlier", "fairness_of", "render_fairness", "scores_of"]
