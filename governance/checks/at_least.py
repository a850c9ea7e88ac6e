"""`at-least`: the candidate's own score is surely at or above a bound."""

from governance.bound import Bound

PLUGIN = Bound(most=False)
