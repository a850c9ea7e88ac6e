"""The story of a release, read top to bottom: one line an event.

    Planned -> Trained -> Sealed -> Examined -> Judged -> Approved -> Released

The same command with the same config continues after a crash: a step whose event exists returns what it recorded.
Nothing here looks at a metric; such a branch is a gate and lives in governance.
"""

from pathlib import Path

from governance.lifecycle import State
from tunegate import steps
from tunegate.house import House
from tunegate.planning import plan, read_inputs
from tunegate_core.config import load_config


def release(house: House, config_path: Path) -> State:
    """Take a config as far as evidence and people allow; return where it stands."""
    inputs = read_inputs(house, load_config(config_path))
    planned = plan(house, inputs)
    with house.working_on(planned.subject):
        steps.train(house, planned, inputs)
        steps.seal(house, planned, inputs)
        steps.examine(house, planned)
        steps.judge(house, planned)
        steps.approve(house, planned)
        return steps.publish(house, planned)


def train(house: House, config_path: Path) -> State:
    """The first half by itself: an adapter in the store, sealed."""
    inputs = read_inputs(house, load_config(config_path))
    planned = plan(house, inputs)
    with house.working_on(planned.subject):
        steps.train(house, planned, inputs)
        return steps.seal(house, planned, inputs)


def evaluate(house: House, subject: str) -> State:
    """Examine and judge a sealed candidate from its records."""
    planned = steps.state_of(house, subject).planned
    with house.working_on(planned.subject):
        steps.examine(house, planned)
        return steps.judge(house, planned)
