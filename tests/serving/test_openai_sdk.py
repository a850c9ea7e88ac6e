"""The official client works with a base URL and a key, and knows no more: answers, streams, errors, retries."""

from collections.abc import Iterator

import openai
import pytest

from tests.serving.conftest import Running, World, api_key, bearer
from tunegate_core.snapshot import Limits

ASKED = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
def gateway(world: World) -> Iterator[Running]:
    with world.gateway() as running:
        yield running


@pytest.fixture
def sdk(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=bearer(), max_retries=0) as client:
        yield client


def test_chat(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="bot", messages=ASKED, n=2, max_tokens=9, seed=1, stop=["x"])
    assert [choice.message.content for choice in answer.choices] == ["Hello there."] * 2
    assert answer.model == "bot@1" and answer.usage and answer.usage.completion_tokens == 6


def test_streamed_chat(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="bot", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there."
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == 10


def test_the_streaming_helper(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(model="bot", messages=ASKED) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Hello there."


def test_completions_and_embeddings(sdk: openai.OpenAI) -> None:
    assert sdk.completions.create(model="bot", prompt="Hi").choices[0].text == "Hello there."
    assert sdk.embeddings.create(model="bot", input="Hi", encoding_format="float").data[0].embedding == [0.5, -0.5]


def test_responses(sdk: openai.OpenAI) -> None:
    assert sdk.responses.create(model="bot", input="Hi").output_text == "Hello there."
    with sdk.responses.stream(model="bot", input="Hi") as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["bot"]
    assert sdk.models.retrieve("bot").owned_by == "tunegate"


def test_tools_and_structured_output_reach_the_engine(world: World, sdk: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    sdk.chat.completions.create(
        model="bot", messages=ASKED, tools=[tool], tool_choice="auto", response_format=schema, logprobs=True,
        top_logprobs=2, logit_bias={"5": 1}, extra_body={"top_k": 5, "chat_template": "{{ steal }}"},
    )  # fmt: skip
    sent = world.engine.seen[-1]["body"]
    assert (sent["tools"], sent["response_format"], sent["top_k"], sent["logprobs"]) == ([tool], schema, 5, True)
    assert "chat_template" not in sent


def test_each_error_is_the_clients_own(gateway: Running, sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(model="other", messages=ASKED)
    assert missing.value.code == "model_not_found" and missing.value.request_id
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.chat.completions.create(model="bot", messages=ASKED, n=99)
    assert bad.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="sk-wrong").models.list()


def test_a_stream_that_breaks_raises(world: World, sdk: openai.OpenAI) -> None:
    world.engine.fault, world.engine.gap_s = "broken", 0.02
    with pytest.raises(openai.APIError, match="went away"):
        list(sdk.chat.completions.create(model="bot", messages=ASKED, stream=True))
    with pytest.raises(openai.APIError, match="went away"):
        list(sdk.responses.create(model="bot", input="Hi", stream=True))


def test_the_client_comes_back_when_told_to(world: World, gateway: Running, sdk: openai.OpenAI) -> None:
    world.engine.fault, world.engine.status = "status", 503

    def heal() -> None:
        world.engine.fault = ""

    import threading

    threading.Timer(0.3, heal).start()
    answer = sdk.with_options(max_retries=2).chat.completions.create(model="bot", messages=ASKED)
    assert answer.choices[0].message.content == "Hello there."


def test_a_used_up_budget_is_not_asked_again(world: World, sdk: openai.OpenAI) -> None:
    world.publish(keys=(api_key(limits=Limits(budget_tokens=1)),))
    import time

    time.sleep(0.25)
    begun = time.monotonic()
    with pytest.raises(openai.RateLimitError) as refused:
        sdk.with_options(max_retries=5).chat.completions.create(model="bot", messages=ASKED)
    assert refused.value.code == "insufficient_quota"
    assert time.monotonic() - begun < 5  # five more tries would take eleven
