"""How many replicas there should be, by what the engines themselves are doing.

Ray Serve counts requests on its handles, and there are none (docs/adr/0006). So each replica tells it how many requests
its engine computes or holds back (`Replica.record_autoscaling_stats`), and this policy turns that into a number. Ray
keeps the bounds and the delays, and starts and ends the replicas.

1. Enough replicas that each has about `target` requests.
2. Not measured is not idle: while a replica has told nothing, none is taken away.
"""

import math
from collections.abc import Collection
from typing import Any

IN_FLIGHT = "in_flight"


class InFlightPolicy:
    """Made by Ray Serve's controller from `AutoscalingPolicy`; called a few times a second."""

    def __init__(self, target: float):
        self._target = target

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """The number of replicas, for a `ray.serve.config.AutoscalingContext`; and no state of our own."""
        told = (context.aggregated_metrics or {}).get(IN_FLIGHT, {})
        found = [told[replica] for replica in context.running_replicas if replica in told]
        return replicas_for(found, len(context.running_replicas), context.target_num_replicas, self._target), {}


def replicas_for(in_flight: Collection[float], running: int, wanted_before: int, target: float) -> int:
    """How many replicas for so many requests on those of `running` replicas that told of theirs."""
    enough = max(1, math.ceil(sum(in_flight) / target))
    return enough if len(in_flight) >= max(1, running) else max(enough, wanted_before)
