"""The main job on real input: three configs, three verdicts, shown side by side.

`configs/support-bot.yaml` ends released, `-refused` ends FAIL by measured harm, `-undecided` judges the first
adapter again on a set too small to tell. The one approval is given by a second key made for this demonstration,
which is shown as such: in earnest it belongs to another person.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from governance.lifecycle import Judged
from tunegate import views
from tunegate.deciding import approve, create_key
from tunegate.house import House
from tunegate.progress import watched
from tunegate.proving import verify
from tunegate.reading import comparison
from tunegate.recording import standing
from tunegate.release import release
from tunegate_core.errors import TunegateError

CONFIGS = Path(__file__).parent.parent / "configs"
REVIEWER = "demo-reviewer"
Result = TypeVar("Result")


def main() -> None:
    """Run the demonstration in the default home; exits 0 when each config ended as it should."""
    try:
        with watched() as progress:
            sys.exit(demonstrate(House.from_environment(progress=progress)))
    except TunegateError as error:
        views.complain(str(error))
        sys.exit(error.exit_code)


def demonstrate(house: House) -> int:
    """The story, and whether the three verdicts came out as announced (0 or 1)."""
    times: dict[str, float] = {}
    released = _timed(times, "support-bot", lambda: release(house, CONFIGS / "support-bot.yaml"))
    if not (house.keys / f"{REVIEWER}.key").exists():
        create_key(house, REVIEWER)
    if isinstance(standing(house, released).state, Judged):
        views.say(f"approving {released} with the key '{REVIEWER}', made for this demonstration")
        views.say(approve(house, released, REVIEWER, "Demonstration: the facts are learnt and nothing else suffers."))
    refused = _timed(times, "support-bot-refused", lambda: release(house, CONFIGS / "support-bot-refused.yaml"))
    undecided = _timed(times, "support-bot-undecided", lambda: release(house, CONFIGS / "support-bot-undecided.yaml"))
    shown = comparison(house, [released, refused, undecided])
    views.show(shown, views.comparison, as_json=False)
    report = verify(house, None)
    views.show(report, views.verify_report, as_json=False)
    views.say("seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in times.items()))
    champion = house.registry().champion("support-bot")
    views.say(f"route support-bot -> {champion}\nlook closer: tunegate show {released}")
    verdicts = [shown["verdicts"][version] for version in (released, refused, undecided)]
    return 0 if verdicts == ["PASS", "FAIL", "UNDECIDED"] and champion == released and report["ok"] else 1


def _timed(times: dict[str, float], name: str, work: Callable[[], Result]) -> Result:
    start = time.monotonic()
    result = work()
    times[name] = time.monotonic() - start
    return result


if __name__ == "__main__":
    main()
