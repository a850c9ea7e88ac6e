"""What an erasure says, what follows from it, and a policy's digest that does not move."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.erasure import Erasures, fate, learnt
from governance.lifecycle import ARROWS
from governance.policy import ErasureRule, Policy
from tunegate.speaking import hint
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.tree import leaf_hash, tree_root
from tunegate_core.rows import Rows, plain, without

ROWS, LEAF = "rows:" + "0" * 64, "1" * 64


@dataclass(frozen=True)
class Happened:
    kind: str
    body: dict[str, Any]
    seq: int = 3
    subject: str | None = None
    at: str = ""


def erased(**change: Any) -> Happened:
    row = {"rows": ROWS, "row": 1, "leaf": LEAF}
    return Happened("erased", {"rows": [row], "affected": ["bot@1"], "reason": ROWS, **change})


def test_erased_rows_are_known_by_their_event() -> None:
    found = Erasures.from_events([erased(), Happened("released", {}), Happened("retraining-scheduled",
                                 {"version": "bot@1", "due": "2026-01-01", "erased": 3})])  # fmt: skip
    assert found.has(ROWS, 1) and not found.has(ROWS, 0) and not found.has("rows:" + "1" * 64, 1)
    assert found.rows == {ROWS: {1: 3}}
    assert found.due == {"bot@1": "2026-01-01"}


@pytest.mark.parametrize("change", [{"rows": []}, {"rows": [{"rows": ROWS, "row": -1, "leaf": LEAF}]}, {"more": 1}])
def test_what_is_no_erasure(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="does not hold what it must"):
        Erasures.from_events([erased(**change)])


@pytest.mark.parametrize("then", ["revoke", "retrain"])
def test_every_state_has_a_fate_and_only_a_release_stays(then: Any) -> None:
    states = {"Planned", *(kind.capitalize() for kind in ARROWS if kind != "approval")}
    fates = {state: fate(state, ErasureRule(then=then)) for state in states}
    stays = {state for state, found in fates.items() if found == "scheduled"}
    assert stays == ({"Released", "Retired"} if then == "retrain" else set())
    assert {state for state, found in fates.items() if found == "ended"} == {"Revoked", "Refused", "Withdrawn"}


def test_a_row_without_an_account_counts_as_learnt() -> None:
    account = [{"row": 0, "status": "kept"}, {"row": 1, "status": "dropped"}, {"row": 2, "status": "truncated"}]
    assert [learnt(account, row) for row in range(4)] == [True, False, True, True]


def test_a_policy_that_does_not_speak_of_erasure_keeps_its_digest() -> None:
    said = Policy(name="p", checks=({"id": "a"},))
    assert "erasure" not in said.model_dump() and b"erasure" not in said.canonical()
    other = said.model_copy(update={"erasure": ErasureRule()})
    assert other.digest() != said.digest()
    assert Policy.parse(other.canonical()) == other


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=8), data=st.data())
def test_erasing_keeps_the_root_and_takes_the_text(texts: list[str], data: st.DataObject) -> None:
    rows = Rows(f"memory://erasure-{data.draw(st.integers(0, 10**9))}")
    commitment = rows.put(texts)
    gone = data.draw(st.sets(st.integers(0, len(texts) - 1)))
    before = rows._fs.cat_file(rows._path(commitment))
    after = without(before, gone)
    assert rows.get(commitment) == texts
    rows._fs.pipe_file(rows._path(commitment), after)
    assert rows.get(commitment) == [None if row in gone else text for row, text in enumerate(texts)]
    assert without(after, gone) == after
    salts = [line.split(b'"salt":"')[1][:64] for line in before.splitlines()]
    assert all((salts[row] in after) == (row not in gone) for row in range(len(texts)))
    assert commitment == "rows:" + tree_root([leaf_hash(line) for line in before.splitlines()]).hex()


@given(texts=st.lists(st.text(max_size=12), max_size=6), needle=st.text(min_size=1, max_size=4))
def test_a_search_misses_nothing(texts: list[str], needle: str) -> None:
    rows = Rows("memory://search")
    for path in rows._fs.glob(f"{rows._root}/*"):
        rows._fs.rm(path, recursive=True)
    if texts:
        rows.put(texts)
    found = [row for _, row, _ in rows.search(hint(needle), lambda text: plain(needle) in plain(text))]
    assert found == [row for row, text in enumerate(texts) if plain(needle) in plain(text)]
