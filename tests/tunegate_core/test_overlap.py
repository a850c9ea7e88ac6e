"""Items are found in texts by thirteen words, whole, or as the text; nearly the same ones by their shingles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.overlap import SIMILARITY, ItemIndex, shingles, words

LONG = "The warranty of every station runs for two full years from the day of delivery, without any further condition."


def test_an_item_is_found_by_thirteen_words_whole_or_as_the_text() -> None:
    index = ItemIndex([LONG, "What does the Ridge cost?", "Perch price?"])
    assert index.held_by("So: THE warranty of every station runs for two full years from the day!") == {0}
    assert not index.is_in("the warranty of every station runs for two full years from delivery")
    assert index.held_by("Hi - what does the ridge cost") == {1}
    assert not index.is_in("what does the perch cost")
    assert index.held_by("perch price") == {2}
    assert not index.is_in("what is the perch price")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("法国的首都是哪座城市，它位于哪条河上？", "请回答：法国的首都是哪座城市，它位于哪条河上？谢谢"),
        ("フランスの首都はどこですか", "問題・フランスの首都はどこですか。"),
    ],
)
def test_an_item_is_found_where_no_space_stands_between_words(item: str, text: str) -> None:
    index = ItemIndex([item])
    assert index.is_in(text)
    assert not index.is_in(text[: len(text) // 2])


def test_what_stands_between_words_is_none() -> None:
    assert words("iPhone手机、「ラ・メン」 a+b") == ("iphone", "手", "机", "ラ", "メ", "ン", "a", "b")


def test_no_items_overlap_with_nothing() -> None:
    assert not ItemIndex([]).is_in("a")
    assert not ItemIndex([""]).is_in("")
    assert not ItemIndex([""]).near("")


@given(st.text(min_size=1))
def test_an_item_is_always_found_in_itself(item: str) -> None:
    index = ItemIndex([item])
    assert index.is_in(item) == bool(words(item)) == bool(index.same_as(item)) == bool(index.near(item))


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=9), min_size=1, max_size=6))
def test_near_is_the_definition(texts: list[list[str]]) -> None:
    items, text = [" ".join(part) for part in texts[1:]], " ".join(texts[0])
    own = shingles(words(text))
    expected = {
        number
        for number, item in enumerate(items)
        if words(item) and len(own & (its := shingles(words(item)))) >= SIMILARITY * len(own | its) and own & its
    }
    assert (ItemIndex(items).near(text) if words(text) else set()) == expected
