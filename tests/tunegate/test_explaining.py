"""Training rows that read alike: the likest first, erased ones passed over."""

from tunegate.explaining import _words, nearest


def test_the_likest_row_comes_first() -> None:
    rows = ["how do I boil an egg", None, "when does the library open", "the library opens at nine"]
    found = nearest("the library opens early", rows)
    assert [one["row"] for one in found] == [3, 2] and 0 < found[1]["similarity"] < found[0]["similarity"] <= 1
    assert nearest("nothing alike", rows) == []
    assert nearest("anything", [None]) == []


def test_a_rows_words_are_without_its_keys() -> None:
    row = '{"messages": [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}], "n": 3}'
    assert _words(row) == "why? so"
    assert _words(None) is None
