"""`non-inferior`: the candidate is not worse than the reference by more than the margin, surely.

PASS when the lower bound of candidate minus reference lies above -margin, FAIL when the upper bound lies below it.
"No significant difference" is not this and is never used: it passes what is measured badly.
"""

from governance.comparing import Comparison

PLUGIN = Comparison(sign=-1, passed="not worse within the margin", failed="worse by more than the margin")
