"""`superior`: the candidate is better than the reference by more than the margin, surely.

PASS when the lower bound of candidate minus reference lies above the margin, FAIL when the upper bound lies below it.
"""

from governance.comparing import Comparison

PLUGIN = Comparison(sign=1, passed="better by more than the margin", failed="not better by the margin")
