"""`at-most`: the candidate's own score is surely at or below a bound."""

from governance.bound import Bound

PLUGIN = Bound(most=True)
