"""`configs/support-bot-rated.yaml`: its prompts, people's choices and its policy make one verdict and one report.

Scores and choices here are made up, and are told so by their shape; what people really prefer is asked of people.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from eval.grouping import group_statistics
from eval.items import open_task
from eval.results import Result
from eval.statistics import arm_statistics, paired_statistics
from governance.lifecycle import Judged
from governance.policy import load_policy, validate_against
from tests.tunegate.rated import said, tell
from tunegate.documenting import document
from tunegate.feedback import record
from tunegate.house import House
from tunegate.recording import standing
from tunegate.release import evaluate
from tunegate_core.config import AdapterSource, load_config
from tunegate_core.records import Arm, Evidence

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG, DEMO = load_config(CONFIGS / "support-bot-rated.yaml"), load_config(CONFIGS / "support-bot.yaml")
POLICY = load_policy(Path(CONFIG.governance.policy))
FACTS, CHAT = (open_task(task) for task in CONFIG.eval.tasks)
SUBJECT = "support-bot-rated@1"
MEASURED: dict[Arm, float] = {"candidate": 0.75, "base": 0.25}  # the share of right answers in every group


def facts(ours: str, base: str) -> Sequence[Evidence]:
    """Evidence on the config's own questions, by its own groups."""
    trees: dict[Arm, str] = {"candidate": ours, "base": base}
    results = {
        arm: [Result(id=item.id, score=float(n % 4 < 4 * share)) for n, item in enumerate(FACTS.items)]
        for arm, share in MEASURED.items()
    }
    pair = paired_statistics("base", base, FACTS.items, results["candidate"], results["base"])
    return [
        Evidence(
            task="facts", metric="acc", scale="binary", items=FACTS.digest(), settings=base, n=len(FACTS.items),
            arms=tuple(arm_statistics(arm, trees[arm], FACTS.items, found) for arm, found in results.items()),
            pairs=(pair,), samples=base,
            groups=group_statistics(FACTS.block.groups, FACTS.items, results, trees, [pair]),
        )
    ]  # fmt: skip


@pytest.fixture
def house(home: Path) -> House:
    """The candidate, examined and judged before anybody has compared its answers."""
    house = House(home, f"sqlite:///{home / 'ledger.sqlite'}")
    tell(house, name=CONFIG.name, policy=POLICY, items=CHAT.items, beside=facts)
    return house


def compare(house: House, choice: Callable[[int], str]) -> None:
    """One person compares the answers to every prompt; `a` is the candidate."""
    told = [
        said(n, True, a=SUBJECT, item=item.id, prompt=item.text, value=choice(n)) for n, item in enumerate(CHAT.items)
    ]
    record(house, told, "file")


def outcome(house: House) -> str:
    state = standing(house, SUBJECT).state
    return state.outcome if isinstance(state, Judged) else type(state).__name__


def table(house: House, entry: str) -> list[tuple[str, ...]]:
    """The rows of a part of its report."""
    report = document(house, SUBJECT, "evaluation-report")
    return [row.cells for one in report.entries() if one.id == entry for table in one.tables for row in table.rows]


def test_it_judges_the_demonstrations_adapter_on_the_same_questions() -> None:
    assert isinstance(CONFIG.finetune, AdapterSource)
    assert CONFIG.finetune.adapter == f"{DEMO.name}@1"
    assert CONFIG.eval.tasks[0] == DEMO.eval.tasks[0]
    assert CONFIG.route != DEMO.route, "on that route it would be compared with itself"
    validate_against(POLICY, [task.name for task in CONFIG.eval.tasks])


def test_enough_prompts_to_tell_and_none_that_was_learnt() -> None:
    assert 16 <= len(CHAT.items) <= 20
    assert len({item.cluster for item in CHAT.items}) == len(CHAT.items)
    learnt = (CONFIGS / "data/support-bot/train.jsonl").read_text().lower()
    assert not [item.text for item in CHAT.items if item.text.lower() in learnt]


def test_it_waits_for_people_then_the_report_tells_their_preference(house: House) -> None:
    assert outcome(house) == "UNDECIDED"
    (row,) = table(house, "preference")
    assert row[2:] == ("not measured", "none", "0", "0", "-", f"not rated yet: {len(CHAT.items)}")
    compare(house, lambda number: "tie" if number < 4 else "a" if number % 5 else "b")
    evaluate(house, SUBJECT)
    assert outcome(house) == "PASS"
    (row,) = table(house, "preference")
    won = sum(0.5 if n < 4 else n % 5 > 0 for n in range(len(CHAT.items)))
    assert row[:3] == ("chat", "base", f"{100 * won / len(CHAT.items):.1f}")
    low, high = map(float, row[3].split(" to "))
    assert 50 < low < 100 * won / len(CHAT.items) < high <= 100
    assert row[4:] == (str(len(CHAT.items)), str(len(CHAT.items)), "1", "none")
    assert {(group, arm) for _, _, group, _, arm, *_ in table(house, "groups")} >= {
        ("buyer", "candidate"), ("owner", "candidate"), ("buyer", "base"), ("owner", "base")
    }  # fmt: skip


def test_who_is_liked_less_is_refused(house: House) -> None:
    compare(house, lambda number: "b")
    evaluate(house, SUBJECT)
    assert outcome(house) == "FAIL"
    assert [row[:2] for row in table(house, "checks") if row[1] != "PASS"] == [("people-prefer-it", "FAIL")]
