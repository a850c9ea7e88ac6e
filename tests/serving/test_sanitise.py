"""What reaches an engine is bounded and known; everything else is left out or refused with the field's name."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, ENDPOINTS, RESPONSES, Endpoint
from serving.errors import Refusal
from serving.sanitise import Caps, Request, sanitise

CAPS = Caps(context_tokens=1000)
ASKED: dict[Endpoint, dict[str, Any]] = {
    CHAT: {"model": "bot", "messages": [{"role": "user", "content": "hi"}]},
    COMPLETIONS: {"model": "bot", "prompt": "hi"},
    RESPONSES: {"model": "bot", "input": "hi"},
    EMBEDDINGS: {"model": "bot", "input": "hi"},
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def clean(endpoint: Endpoint = CHAT, caps: Caps = CAPS, **changes: Any) -> Request:
    return sanitise(endpoint, orjson.dumps({**ASKED[endpoint], **changes}), caps)


def refusal(endpoint: Endpoint = CHAT, **changes: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        clean(endpoint, **changes)
    assert refused.value.status == 400
    return refused.value


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_only_known_fields_pass(endpoint: Endpoint) -> None:
    engine_only = {
        *("chat_template", "chat_template_kwargs", "mm_processor_kwargs", "media_io_kwargs", "prompt_embeds"),
        *("kv_transfer_params", "vllm_xargs", "cache_salt", "request_id", "lora_path", "documents", "priority"),
        *("add_generation_prompt", "use_beam_search", "structured_outputs", "prompt_logprobs", "metadata"),
    }
    request = clean(endpoint, **{name: {"a": 1} for name in engine_only}, temperature=0.5)
    assert request.model == "bot"
    assert request.body.keys() <= endpoint.fields
    assert not request.body.keys() & engine_only


def test_a_response_may_come_with_its_log_probabilities() -> None:
    wanted = ["message.output_text.logprobs"]
    assert clean(RESPONSES, include=wanted, top_logprobs=2).body["include"] == wanted
    assert refusal(RESPONSES, include=wanted * 9).param == "include"


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(CHAT.fields)), json_values, max_size=6))
def test_any_json_is_taken_or_refused(changes: dict[str, Any]) -> None:
    for endpoint in ENDPOINTS:
        try:
            request = clean(endpoint, **changes)
        except Refusal as refused:
            assert refused.status == 400
        else:
            assert request.body.keys() <= endpoint.fields


@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    with pytest.raises(Refusal):
        sanitise(CHAT, raw, CAPS)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"model": NaN}', b"\xff{}", b'{"a":1', b"{}" * 2])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal):
        sanitise(CHAT, raw, CAPS)


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    clean(metadata=nested(CAPS.depth - 1))
    assert "nested" in refusal(metadata=nested(CAPS.depth)).message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("n", 0), ("n", 9), ("n", True), ("n", "2"), ("n", 1.5), ("n", [1])),
        *(("max_tokens", 0), ("max_tokens", 1001), ("max_completion_tokens", -1), ("max_tokens", 10**15)),
        *(("top_logprobs", 21), ("logprobs", 99), ("min_tokens", 1001)),
        *(("stop", ["a"] * 9), ("stop", "a" * 257), ("stop", [1]), ("stop", {"a": 1})),
        *(("stream", "yes"), ("stream", 1), ("stream_options", {"include_usage": True})),
        *(("messages", []), ("messages", "" * 3), ("messages", None), ("messages", [{}] * 513), ("messages", 7)),
        *(("logit_bias", {str(i): 1 for i in range(301)}), ("tools", [{"type": "function"}] * 129)),
        *(("tools", [{"type": "mcp", "server_url": "https://example.com"}]), ("tools", ["a"]), ("tools", 1)),
        *(("store", True), ("background", True), ("previous_response_id", "r"), ("conversation", "c")),
        *(("model", None), ("model", 7), ("safety_identifier", "x" * 257), ("user", 7)),
        ("response_format", {"schema": "x" * 70_000}),
        ("response_format", {"json_schema": {"schema": {"properties": {"a": {"pattern": "(a+)+" * 200}}}}}),
    ],
)
def test_wrong_and_excessive_values_are_refused(field: str, value: Any) -> None:
    assert refusal(**{field: value}).param in (field, "stream_options")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": "https://example.com/a.png"},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "video_url", "video_url": {"url": "HTTP://example.com"}},
        {"type": "audio_url", "audio_url": {"url": "//example.com"}},
        {"type": "file", "file": {"file_url": "https://example.com"}},
        {"type": "unknown", "nested": {"deeper": {"url": "ftp://example.com"}}},
        {"type": "text", "text": "a", "uuid": "1", "image_url": "http://127.0.0.1/"},  # vLLM reads it, for the uuid
        {"type": "unknown", "nested": [{"image_url": ["data:,", "http://127.0.0.1/"]}]},
        {"type": ["image_url"], "image_url": "http://127.0.0.1/"},
        {"image_url": "http://127.0.0.1/"},
    ],
)
def test_nothing_is_fetched_from_elsewhere(part: dict[str, Any]) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "see https://example.com"}, part]}
    assert refusal(messages=[message]).code == "remote_media"
    assert refusal(RESPONSES, input=[message]).code == "remote_media"
    assert refusal(RESPONSES, input=[part]).code == "remote_media"
    output = {"type": "function_call_output", "call_id": "c", "output": [part]}  # a message of a tool to vLLM
    assert refusal(RESPONSES, input=[output]).code == "remote_media"
    assert refusal(RESPONSES, input=[{**output, "content": "a"}]).code == "remote_media"


def test_media_that_is_there_may_pass() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert clean(messages=[{"role": "user", "content": [part]}]).body["messages"]


def test_what_an_answer_cited_may_be_sent_back() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://example.com"}}
    told = [{"role": "assistant", "content": None, "annotations": [cited]}, *ASKED[CHAT]["messages"]]
    assert len(clean(messages=told).body["messages"]) == 2


LISTED = Caps(media_domains=("images.example.org", "10.0.0.7"))


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("https://images.example.org/a.png?size=2", True),
        ("https://10.0.0.7/a.png", True),  # an address of the own network only where it is listed
        ("https://10.0.0.8/a.png", False),
        ("https://127.0.0.1/", False),
        ("https://localhost/", False),
        ("https://[::1]/", False),
        ("https://2130706433/", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("http://images.example.org/a.png", False),
        ("https://example.org/a.png", False),
        ("https://cdn.images.example.org/a.png", False),
        ("https://images.example.org.evil.example/a.png", False),
        ("https://images.example.org@evil.example/a.png", False),
        ("https://images.example.org:8443/a.png", False),
        ("https://images.example.org\\@evil.example/a.png", False),
        ("https://images.example.org\t/a.png", False),
        (" https://images.example.org/a.png", False),
        ("https://images.example.org", False),
        ("file:///etc/passwd", False),
    ],
)
def test_only_listed_hosts_may_be_fetched_from(address: str, is_allowed: bool) -> None:
    asked = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}]
    if is_allowed:
        assert clean(caps=LISTED, messages=asked).body["messages"] == asked
        return
    with pytest.raises(Refusal) as refused:
        clean(caps=LISTED, messages=asked)
    assert refused.value.code == "remote_media" and address not in refused.value.message


def test_what_it_can_use_is_never_less_than_asked_for() -> None:
    assert clean(n=3, max_tokens=50).most_output == 150
    assert clean(max_completion_tokens=20, max_tokens=50).most_output == 20
    assert clean().most_output == CAPS.context_tokens
    assert clean(COMPLETIONS, prompt=["a"] * 4, n=2, max_tokens=5).most_output == 40
    assert clean(COMPLETIONS, prompt=[1, 2, 3], max_tokens=5).most_output == 5
    assert clean(EMBEDDINGS).most_output == 0
    assert clean(messages=[{"role": "user", "content": "7" * 900}]).most_prompt >= 900  # a token each
    assert clean(messages=[{"role": "user", "content": "x" * 90_000}]).most_prompt == CAPS.context_tokens
    assert clean(COMPLETIONS, prompt=["x" * 90_000] * 2).most_prompt == 2 * CAPS.context_tokens


def test_who_asks_behind_the_key() -> None:
    assert clean(user="u", safety_identifier="s").user == "s"
    assert clean(user="u").user == "u"
    assert clean(user="").user is None
    assert "user" not in clean(user="u").body


def test_usage_of_a_stream_is_ours_to_ask_for() -> None:
    assert clean(stream=True, stream_options={"include_usage": True}).wants_usage
    assert "stream_options" not in clean(stream=True, stream_options={}).body
    assert not clean(stream=True).wants_usage
