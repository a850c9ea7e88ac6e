"""Duplicates are found exactly, and equal to what comparing every pair would find."""

from hypothesis import given
from hypothesis import strategies as st

from finetune.data import Part, Row
from finetune.duplicates import SIMILARITY, _shingles, exact_duplicates, near_duplicates

LONG = "the warranty of every station runs for two full years from the day of delivery to your door"


def row(*texts: str, index: int = 0) -> Row:
    roles = ("user", "assistant", "user", "assistant")
    return Row(index, None, "chat", tuple(Part(role, text) for role, text in zip(roles, texts, strict=False)), "")


def test_space_and_unicode_forms_do_not_make_a_row_new_but_case_does() -> None:
    asked = ("Is it  open?", "Is it\nopen? ", "is it open?", "\uff29s it open?")
    rows = [row(text, "Yes") for text in asked]
    assert exact_duplicates(rows) == {1: 0, 3: 0}


def test_the_same_words_in_other_roles_are_another_row() -> None:
    assert exact_duplicates([row("a", "b"), row("b", "a")]) == {}


def test_near_duplicates_are_found_and_system_prompts_are_not_compared() -> None:
    near = row(LONG, LONG + " now")
    assert near_duplicates([row(LONG, LONG), near, row("What?", LONG)]) == {1: 0}
    prompt = Part("system", LONG)
    apart = [Row(0, None, "chat", (prompt, Part("user", one), Part("assistant", one)), "") for one in ("red", "blue")]
    assert near_duplicates(apart) == {}


WORDS = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.lists(WORDS, min_size=1, max_size=25), max_size=8))
def test_prefix_filtering_finds_what_comparing_all_pairs_finds(texts: list[list[str]]) -> None:
    rows = [row("q", " ".join(words)) for words in texts]
    sets = [_shingles(one) for one in rows]
    expected = {}
    for at, one in enumerate(sets):
        match = [earlier for earlier in range(at) if len(one & sets[earlier]) >= SIMILARITY * len(one | sets[earlier])]
        if match:
            expected[at] = match[0]
    assert near_duplicates(rows) == expected
