"""The main job on real input: three configs, three verdicts, shown side by side.

`configs/support-bot.yaml` ends released, `-refused` ends FAIL by measured harm, `-undecided` judges the first
adapter again on a set too small to tell. The one approval is given by a second key made for this demonstration,
which is shown as such: in earnest it belongs to another person. At the end the route answers questions at a real
endpoint.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from governance.lifecycle import Judged
from tunegate import views
from tunegate.deciding import approve, create_key
from tunegate.demo_answers import ask_endpoint, learnt_items
from tunegate.house import House
from tunegate.progress import watched
from tunegate.proving import verify
from tunegate.reading import comparison
from tunegate.recording import standing
from tunegate.release import release
from tunegate_core.errors import TunegateError

CONFIGS = Path(__file__).parent.parent / "configs"
DATA = CONFIGS / "data" / "support-bot"
ROUTE = "support-bot"
REVIEWER = "demo-reviewer"
HELD_OUT = 2  # questions
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
    views.say("three releases and an endpoint: five to eight minutes on two idle cores, longer on busy ones")
    released = _release(house, times, 1, "support-bot", "learns what it is taught, and ends released")
    if not (house.keys / f"{REVIEWER}.key").exists():
        create_key(house, REVIEWER)
    if isinstance(standing(house, released).state, Judged):
        views.say(f"approving {released} with the key '{REVIEWER}', made for this demonstration")
        views.say(approve(house, released, REVIEWER, "Demonstration: the facts are learnt and nothing else suffers."))
    refused = _release(house, times, 2, "support-bot-refused", "is trained to harm, and ends FAIL")
    undecided = _release(house, times, 3, "support-bot-undecided", "is judged on too little, and ends UNDECIDED")
    shown = comparison(house, [released, refused, undecided])
    views.show(shown, views.comparison, as_json=False)
    report = verify(house, None)
    views.show(report, views.verify_report, as_json=False)
    is_answering = _timed(times, "the endpoint", lambda: _answers(house, released))
    views.say("seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in times.items()))
    champion = house.registry().champion(ROUTE)
    views.say(f"route {ROUTE} -> {champion}\nlook closer: tunegate show {released}")
    views.say(f"what a reviewer reads: tunegate report {released} -o report.html (by group: --fairness)")
    views.say("ask it yourself: tunegate serve --dev")
    verdicts = [shown["verdicts"][version] for version in (released, refused, undecided)]
    is_told = verdicts == ["PASS", "FAIL", "UNDECIDED"] and champion == released and report["ok"]
    return 0 if is_told and is_answering else 1


def _release(house: House, times: dict[str, float], number: int, name: str, ends: str) -> str:
    views.say(f"{number} of 3: configs/{name}.yaml {ends}")
    return _timed(times, name, lambda: release(house, CONFIGS / f"{name}.yaml"))


def _answers(house: House, version: str) -> bool:
    """Ask the endpoint a question of the training data and some held-out ones that only `version` got right; show what
    it says beside what was expected. Whether `version` answered them all."""
    taught = _lines("train.jsonl")[0]["messages"]
    asked = [("taught", taught[0]["content"], taught[1]["content"])]
    learnt = learnt_items(house, version, "facts")[:HELD_OUT]
    for item in _lines("facts.jsonl"):
        if item["id"] in learnt:
            asked.append(("held out", item["question"], item["choices"][item["answer"]]))
    answers = ask_endpoint(house, ROUTE, [question for _, question, _ in asked])
    views.say(f"{ROUTE}, asked with the openai client (a model of 135M parameters: it often says what is not so)")
    for (kind, question, wanted), (answer, answered_by) in zip(asked, answers, strict=True):
        views.say(f"  {kind}: {question}\n    {answered_by}: {answer}\n    expected: {wanted}")
    return all(answer and answered_by == version for answer, answered_by in answers)


def _lines(name: str) -> list[dict[str, Any]]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _timed(times: dict[str, float], name: str, work: Callable[[], Result]) -> Result:
    start = time.monotonic()
    result = work()
    times[name] = time.monotonic() - start
    return result


if __name__ == "__main__":
    main()
