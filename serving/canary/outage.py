"""A canary that answers nothing, seen at once, even where a few callers make all requests.

A row of failures is no matter of statistics when the champion answers meanwhile: with one failure in ten on both sides,
ten in a row come once in ten billion requests. They must be of several callers, as one may send what always fails.
"""

from serving.canary.observation import Observation

IN_A_ROW = 10
UNITS = 3
CHAMPION_FAILS = 0.1


class Outage:
    """The canary's failures since it last answered, and what the champion did since they began."""

    def __init__(self) -> None:
        self.is_seen = False
        self._failed = self._champion = self._champion_failed = 0
        self._units: set[object] = set()

    def see(self, seen: Observation) -> None:
        """Count a request whose outcome is known."""
        if seen.ok is None:
            return
        if seen.arm == "champion":
            self._champion += self._failed > 0
            self._champion_failed += self._failed > 0 and not seen.ok
        elif seen.ok:
            self._failed = self._champion = self._champion_failed = 0
            self._units.clear()
        else:
            self._failed += 1
            self._units.add(self._failed if seen.unit is None else seen.unit)
        self.is_seen = self.is_seen or self._is_now()

    def _is_now(self) -> bool:
        is_row = self._failed >= IN_A_ROW and len(self._units) >= UNITS
        return is_row and self._champion >= IN_A_ROW and self._champion_failed <= CHAMPION_FAILS * self._champion
