"""Answers are counted and judged alike, whole or in pieces; pieces may be cut anywhere."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.answers import Choice, Reading, rename
from serving.sse import DONE, MOST_BYTES, Events, event
from tunegate_core.errors import IntegrityError

WORDS = ["I", " am", " sorry", "", ", no", "."]


def chunk(text: str, made: int, finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": made}}


def test_a_stream_and_a_whole_answer_read_alike() -> None:
    streamed, whole = Reading(), Reading()
    for number, word in enumerate(WORDS):
        streamed.take_chunk(chunk(word, number + 1, "length" if number == 5 else None), float(number))
    message = {"message": {"content": "".join(WORDS)}, "finish_reason": "length", "index": 0}
    whole.take_chunk({"choices": [message], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}, 9.0)
    for reading in (streamed, whole):
        assert (reading.prompt_tokens, reading.output_tokens) == (5, 6)
        assert reading.is_refusal and reading.is_truncated and not reading.is_empty
    assert (streamed.first_at, streamed.inter_token()) == (0.0, 1.0)


def test_tokens_of_several_choices_are_summed() -> None:
    reading = Reading()
    for index, made in ((0, 1), (1, 1), (0, 2), (1, 2), (1, 3)):
        choice = {"index": index, "delta": {"content": "x"}, "finish_reason": None}
        reading.take_chunk({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": made}}, 0.0)
    assert reading.output_tokens == 5
    reading.take_chunk({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}, 0.0)
    assert reading.output_tokens == 6


def test_tokens_of_several_prompts_are_summed() -> None:
    """Two answers to each of two prompts: a chunk tells of the prompt that it answers, the end of all."""
    reading = Reading(each=2)
    for index, asked in ((0, 5), (1, 5), (2, 9), (3, 9), (0, 5)):
        told = {"prompt_tokens": asked, "completion_tokens": 1}
        reading.take_chunk({"choices": [{"index": index, "text": "x"}], "usage": told}, 0.0)
    assert (reading.prompt_tokens, reading.output_tokens) == (14, 4)
    reading.take_chunk({"choices": [], "usage": {"prompt_tokens": 14, "completion_tokens": 6}}, 0.0)
    assert (reading.prompt_tokens, reading.output_tokens) == (14, 6)


def test_several_answers_read_alike_in_pieces_and_whole() -> None:
    """Their words come mixed; one that declines, or is cut, is not hidden by the others."""
    words = (("I", "'m", " sorry"), ("Paris", " is", " far"))
    streamed, whole = Reading(each=2, keeps_text=True), Reading(each=2, keeps_text=True)
    for number in range(3):
        for index, finish in ((0, "length"), (1, "stop")):
            ended = finish if number == 2 else None
            choice = {"index": index, "delta": {"content": words[index][number]}, "finish_reason": ended}
            told = {"prompt_tokens": 5, "completion_tokens": number + 1}
            streamed.take_chunk({"choices": [choice], "usage": told}, float(number))
    messages = [
        {"index": index, "message": {"content": "".join(words[index])}, "finish_reason": finish}
        for index, finish in ((0, "length"), (1, "stop"))
    ]
    whole.take_chunk({"choices": messages, "usage": {"prompt_tokens": 5, "completion_tokens": 6}}, 2.0)
    for reading in (streamed, whole):
        assert reading.text == "I'm sorry\n\nParis is far"
        assert reading.is_refusal and reading.is_truncated and not reading.is_empty
        assert (reading.prompt_tokens, reading.output_tokens, reading.finish) == (5, 6, "length")
    assert streamed.inter_token() == 1.0  # side by side, not one after another
    whole.take_chunk({"choices": [{"index": 2, "message": {"content": ""}}]}, 3.0)
    assert whole.is_empty


@pytest.mark.parametrize("count", ["7", 7.5, -7, True, 2**63, [7]])
def test_what_is_no_count_of_tokens_is_not_added_up(count: object) -> None:
    with pytest.raises(IntegrityError, match="expected a whole number from 0"):
        Reading().take_chunk({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": count}}, 0.0)
    with pytest.raises(IntegrityError, match="expected a whole number from 0"):
        Reading().take_chunk({"choices": [{"index": count, "text": "x"}]}, 0.0)


def test_what_was_not_told_stays_unknown() -> None:
    reading = Reading()
    reading.take_chunk({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, 0.0)
    assert reading.output_tokens is None and reading.is_empty and reading.first_at is None


def test_a_tool_call_is_no_empty_answer() -> None:
    reading = Reading()
    call = {"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "tool_calls"}
    reading.take_chunk({"choices": [call]}, 1.0)
    assert not reading.is_empty and reading.first_at == 1.0


def test_the_events_of_a_response() -> None:
    reading = Reading()
    reading.take_event("response.created", {"response": {}}, 0.0)
    for word in ("Paris", "."):
        reading.take_event("response.output_text.delta", {"delta": word}, 1.0)
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Paris."}]}]
    done = {"status": "completed", "usage": {"input_tokens": 4, "output_tokens": 2}, "output": output}
    reading.take_event("response.completed", {"response": done}, 2.0)
    assert reading.is_complete and reading.choices[0].opening == "Paris." and reading.finish == "stop"
    assert (reading.prompt_tokens, reading.output_tokens) == (4, 2)


@pytest.mark.parametrize("text", ["I'm sorry, but", "I cannot help", "I can't do that", "As an AI model", "Sorry, no"])
def test_refusals_are_noticed(text: str) -> None:
    assert Reading(choices={0: Choice(opening=text)}).is_refusal


@pytest.mark.parametrize(
    "text", ["Paris is", "The word sorry", "I can help", "Cannot is a word", "", "I will not be long"]
)
def test_other_openings_are_not(text: str) -> None:
    assert Reading(choices={0: Choice(opening=text)}).is_refusal == text.startswith("I will not")


def test_only_our_names_are_told() -> None:
    body = {"id": "engine", "model": "base:adapter", "choices": []}
    rename(body, "chatcmpl-1", "bot@1")
    assert body == {"id": "chatcmpl-1", "model": "bot@1", "choices": []}


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=6), st.data())
def test_events_survive_any_cut(bodies: list[dict[str, str]], data: st.DataObject) -> None:
    stream = b"".join(event(orjson.dumps(body), b"kind" * (number % 2)) for number, body in enumerate(bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    events, found = Events(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += events.feed(stream[begin:end])
    assert [orjson.loads(told) for _, told in found] == bodies
    assert [kind for kind, _ in found] == [b"kind" * (number % 2) for number in range(len(bodies))]


def test_other_spellings_of_events() -> None:
    told = Events().feed(b": comment\r\n\r\nevent:  a\r\ndata:1\r\ndata: 2\r\nid: 9\r\n\r\ndata: [DONE]\r\n\r\n")
    assert told == [(b"a", b"1\n2"), (b"", DONE)]


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(IntegrityError):
        Events().feed(b"data: " + b"x" * (MOST_BYTES + 1))
