"""The story of a release, read top to bottom: one line an event.

    Planned -> Trained -> Sealed -> Examined -> Judged -> Approved -> Released

The same command with the same config continues after a crash: a step whose event exists does nothing. No branch here
looks at a metric; such a branch is a gate and lives in governance.
"""

import re
from pathlib import Path

from tunegate import steps
from tunegate.house import House
from tunegate.planning import plan, read_inputs
from tunegate.recording import standing
from tunegate_core.config import load_config
from tunegate_core.config.schema import VERSION


def release(house: House, config: Path) -> str:
    """Take a config as far as evidence and people allow; return the candidate, NAME@N."""
    inputs = read_inputs(house, load_config(config))
    planned = plan(house, inputs)
    with house.working_on(planned.subject):
        steps.train(house, planned, inputs)
        steps.seal(house, planned, inputs)
        steps.examine(house, planned)
        steps.judge(house, planned)
        steps.settle(house, planned)
        steps.publish(house, planned)
    return planned.subject


def train(house: House, config: Path) -> str:
    """The first half by itself: an adapter in the store, sealed."""
    inputs = read_inputs(house, load_config(config))
    planned = plan(house, inputs)
    with house.working_on(planned.subject):
        steps.train(house, planned, inputs)
        steps.seal(house, planned, inputs)
    return planned.subject


def evaluate(house: House, target: str) -> str:
    """Examine and judge a sealed candidate, named by version or by its config."""
    if re.fullmatch(VERSION, target):
        planned = standing(house, target).planned
    else:
        inputs = read_inputs(house, load_config(Path(target)))
        planned = plan(house, inputs)
        if inputs.source is not None:
            steps.seal(house, planned, inputs)
    with house.working_on(planned.subject):
        steps.examine(house, planned)
        steps.judge(house, planned)
    return planned.subject
