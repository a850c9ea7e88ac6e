"""Personal text: committed to, erasable row by row, unguessable after."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.errors import IntegrityError, NotFound
from tunegate_core.proof.tree import leaf_hash, tree_root
from tunegate_core.rows import Rows

TEXTS = ["my name is Ada", "my name is Ada", "", "zwei\nZeilen \u2028 é"]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(str(tmp_path / "store"))


def stored(tmp_path: Path, commitment: str) -> Path:
    return tmp_path / "store" / "rows" / f"{commitment.removeprefix('rows:')}.jsonl"


def test_what_was_put_is_read_back(rows: Rows) -> None:
    commitment = rows.put(TEXTS)
    assert rows.get(commitment) == TEXTS
    assert list(rows.commitments()) == [commitment]


def test_the_commitment_is_the_root_over_salted_rows(rows: Rows, tmp_path: Path) -> None:
    commitment = rows.put(TEXTS)
    lines = stored(tmp_path, commitment).read_bytes().split(b"\n")[:-1]
    assert commitment == "rows:" + tree_root([leaf_hash(line) for line in lines]).hex()
    salts = [json.loads(line)["salt"] for line in lines]
    assert len(set(salts)) == len(TEXTS)
    assert all(len(bytes.fromhex(salt)) == 32 for salt in salts)


def test_the_same_texts_again_are_the_same_commitment(rows: Rows, tmp_path: Path) -> None:
    commitment = rows.put(TEXTS)
    assert rows.put(TEXTS) == commitment
    assert rows.put(TEXTS[::-1]) != commitment
    assert Rows(str(tmp_path / "elsewhere")).put(TEXTS) != commitment  # salts differ: nothing can be compared


def test_the_same_texts_put_at_once_are_the_same_commitment(tmp_path: Path) -> None:
    texts, together = [f"row {number}" for number in range(500)], Barrier(6)

    def put(_: int) -> str:
        rows = Rows(str(tmp_path / "store"))
        together.wait()
        return rows.put(texts)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(put, range(6)))) == 1


def test_an_erased_row_is_gone_and_the_rest_verifies(rows: Rows, tmp_path: Path) -> None:
    commitment = rows.put(TEXTS)
    leaf = rows.leaf(commitment, 0)
    rows.erase(commitment, 0)
    assert rows.get(commitment) == [None, *TEXTS[1:]]
    assert rows.leaf(commitment, 0) == leaf
    assert json.loads(stored(tmp_path, commitment).read_bytes().split(b"\n")[0]) == {"erased": leaf}
    rows.erase(commitment, 0)
    rows.erase(commitment, 1)
    assert rows.get(commitment) == [None, None, *TEXTS[2:]]
    left = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"Ada" not in left


def test_erased_texts_put_again_are_new(rows: Rows) -> None:
    commitment = rows.put(TEXTS)
    rows.erase(commitment, 2)
    again = rows.put(TEXTS)
    assert again != commitment
    assert rows.get(again) == TEXTS


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
def test_any_texts_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    rows = Rows(str(tmp_path_factory.mktemp("store")))
    assert rows.get(rows.put(texts)) == texts


@pytest.mark.parametrize("change", ["text", "row removed", "swapped", "added"])
def test_changed_rows_are_found(rows: Rows, tmp_path: Path, change: str) -> None:
    commitment = rows.put(TEXTS)
    path = stored(tmp_path, commitment)
    lines = path.read_bytes().split(b"\n")[:-1]
    changed = {
        "text": [lines[0].replace(b"Ada", b"Eve"), *lines[1:]],
        "row removed": lines[1:],
        "swapped": [lines[1], lines[0], *lines[2:]],
        "added": [*lines, lines[0]],
    }[change]
    path.write_bytes(b"".join(line + b"\n" for line in changed))
    with pytest.raises(IntegrityError, match="were changed"):
        rows.get(commitment)


def test_rows_that_are_not_there(rows: Rows) -> None:
    with pytest.raises(NotFound):
        rows.get("rows:" + "ab" * 32)
    commitment = rows.put(TEXTS)
    for row in (-1, 4):
        with pytest.raises(NotFound, match="has 4 rows"):
            rows.erase(commitment, row)
