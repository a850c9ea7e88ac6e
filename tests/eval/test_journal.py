"""A journal loses no whole batch and believes no other."""

from pathlib import Path

import pytest

from eval.journal import Journal, batch_name
from tunegate_core.errors import StoreFault


def test_whole_batches_survive_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "x.jsonl"
    journal = Journal(path)
    journal.keep("a", [[-1.25, True], [float("-inf"), False]])
    journal.keep("b", ["zwei\n"])
    with path.open("ab") as out:
        out.write(b"\nsha256:cut off")
    again = Journal(path)
    again.keep("c", ["three"])
    path.write_bytes(path.read_bytes().replace(b"zwei", b"drei"))
    last = Journal(path)
    assert last.recall("a") == [[-1.25, True], [float("-inf"), False]]
    assert last.recall("b") is None  # changed
    assert last.recall("c") == ["three"]
    assert last.recall("d") is None
    last.close()
    last.close()
    assert not path.exists()


def test_two_may_write_one_file(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "x"), Journal(tmp_path / "x")
    for n in range(20):
        one.keep(f"one {n}", [n])
        two.keep(f"two {n}", [n])
    found = Journal(tmp_path / "x")
    assert all(found.recall(f"{who} {n}") == [n] for who in ("one", "two") for n in range(20))


def test_without_a_file_nothing_is_kept() -> None:
    journal = Journal()
    journal.keep("a", [1])
    assert journal.recall("a") is None
    journal.close()


def test_names_tell_batches_apart() -> None:
    assert batch_name("score", [1, 2]) == batch_name("score", [1, 2]) != batch_name("score", [12])


def test_a_journal_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("in the way")
    with pytest.raises(StoreFault, match="can't keep the answers"):
        Journal(tmp_path / "answers" / "x").keep("a", [1])
