"""One guard over one stage: values of both arms in blocks, the evidence so far, and the figures people look at."""

import math
from array import array

from serving.canary.decision import Figure, Side
from serving.canary.observation import READINGS, Arm
from tunegate_core.config.schema import GuardName
from tunegate_core.stats.sequential import BLOCK, RankTest, RateTest

TAIL = 0.95


class Guard:
    """`alpha`: the error rate of this guard in this stage. `tolerance`: what counts as equal, as in CanaryBlock."""

    def __init__(self, name: GuardName, is_needed: bool, alpha: float, tolerance: float):
        self.name = name
        self.is_needed = is_needed
        self.in_time: dict[Arm, int] = {"champion": 0, "canary": 0}
        self._alpha = alpha
        self._kind = READINGS[name].kind
        self._forgiven = 1 + tolerance
        self._test = RateTest(allowed=self._forgiven) if self._kind == "rate" else RankTest()
        self._open: list[tuple[Arm, float]] = []
        self._values: dict[Arm, array[float]] = {"champion": array("d"), "canary": array("d")}
        self._most = 0.0  # log of the largest e-value; it is 1 before anything is seen
        self._in_time_log_e = 0.0

    def add(self, arm: Arm, value: float, is_in_time: bool) -> None:
        """A value; larger is worse. Those that are not in time count as evidence, but not as samples."""
        self._values[arm].append(value)
        self.in_time[arm] += is_in_time
        self._open.append((arm, value))
        if len(self._open) == BLOCK:
            self._close_block()
            self._in_time_log_e = self._test.log_e if is_in_time else self._in_time_log_e

    @property
    def is_worse(self) -> bool:
        """There was, at some time, enough evidence that the canary is worse."""
        return self._most >= math.log(1 / self._alpha)

    def is_in_doubt(self, alpha: float) -> bool:
        """There would be now, or was when the time was over, if nothing else were tested at `alpha`."""
        return max(self._test.log_e, self._in_time_log_e) >= math.log(1 / alpha)

    def figure(self) -> Figure:
        """What is known now."""
        test = self._test
        low, high = test.odds_ratio(self._alpha) if isinstance(test, RateTest) else (None, None)
        return Figure(
            guard=self.name,
            is_needed=self.is_needed,
            canary=self._side("canary"),
            champion=self._side("champion"),
            evidence=_rounded(self._most / math.log(10)),
            enough=_rounded(math.log10(1 / self._alpha)),
            odds_low=None if low is None else _rounded(low),
            odds_high=None if high is None else _rounded(high),
        )

    def _close_block(self) -> None:
        canary = [value for arm, value in self._open if arm == "canary"]
        champion = [value for arm, value in self._open if arm == "champion"]
        self._open.clear()
        if isinstance(self._test, RateTest):
            self._test.add([value > 0 for value in canary], [value > 0 for value in champion])
        else:
            # A score is worse the lower it is, and stands here with its sign turned.
            scale = 1 / self._forgiven if self._kind == "time" else self._forgiven
            self._test.add([value * scale for value in canary], champion)
        self._most = max(self._most, self._test.log_e)

    def _side(self, arm: Arm) -> Side:
        values = self._values[arm]
        if not values:
            return Side(n=0)
        if self._kind == "rate":
            return Side(n=len(values), value=_rounded(sum(values) / len(values)))
        sign = -1 if self._kind == "score" else 1
        ordered = sorted(values)
        middle, tail = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, TAIL))
        return Side(n=len(values), value=_rounded(sign * middle), tail=_rounded(sign * tail))


def _rounded(value: float) -> float:
    """Six decimals: the same digest on every machine."""
    return round(value, 6)
