"""A released adapter answers through the `openai` client, on Ray Serve and vLLM, and only as long as it may."""

import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import psutil
import pytest

from tests.tunegate.served import Endpoint, marked, started, wait_until_gone, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

ASKED_AGAIN = 8
MEAN_NATS, MOST_NATS = 0.02, 0.05  # a token, between bfloat16 in vLLM and float32 in transformers


@pytest.fixture(scope="module")
def endpoint(
    released_home: Path, tmp_path_factory: pytest.TempPathFactory, value: Callable[..., Any]
) -> Iterator[Endpoint]:
    """One endpoint for all tests of this module, over a copy of the released home."""
    folder = tmp_path_factory.mktemp("serving")
    home = Path(shutil.copytree(released_home, folder / "home"))
    key = value(home, "keys", "create", "a test", "--scope", "infer")["key"]
    running = started(home, folder / "serve.log", key)
    try:
        wait_until_ready(running, folder / "serve.log")
        yield running
    finally:
        os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C; the demonstration ends by SIGTERM
        status = running.process.wait(timeout=90)
    wait_until_gone(running)
    assert status == 0


def test_the_official_client_needs_a_url_and_a_key(endpoint: Endpoint) -> None:
    assert [model.id for model in endpoint.client().models.list()] == ["starter"]
    answer = endpoint.ask(max_tokens=24)
    assert answer.model == "starter@1"
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens <= 24


def test_what_answers_is_what_was_trained(
    endpoint: Endpoint, folders: tuple[Path, Path], questions: list[dict[str, Any]]
) -> None:
    """vLLM in bfloat16 finds its answers as likely as float32 on training's side does."""
    from eval.probe import log_probabilities

    said, theirs = [], []
    for item in questions[:ASKED_AGAIN]:
        turn = [{"role": "user", "content": item["question"]}]
        choice = endpoint.ask(messages=turn, logprobs=True, max_tokens=24).choices[0]
        tokens = choice.logprobs.content[
            : None if choice.finish_reason == "length" else -1
        ]  # the last one ends the turn
        assert "".join(token.token for token in tokens) == choice.message.content
        said.append((item["question"], choice.message.content))
        theirs.append([token.logprob for token in tokens])
    ours, plain = log_probabilities(*folders, said), log_probabilities(folders[0], None, said)
    off = [abs(a - sum(b)) / len(b) for a, b in zip(ours, theirs, strict=True)]
    print("nats a token between vLLM and transformers:", [round(value, 4) for value in off])
    assert sum(off) / len(off) <= MEAN_NATS
    assert max(off) <= MOST_NATS
    assert sum(ours) > sum(plain) + 1, "the adapter changes nothing"
    right = [
        item["choices"][item["answer"]].rstrip(".") in told for item, (_, told) in zip(questions, said, strict=False)
    ]
    assert any(right)


def test_a_stream_ends_with_its_usage(endpoint: Endpoint) -> None:
    chunks = list(endpoint.ask(stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == endpoint.ask().choices[0].message.content
    assert chunks[-1].usage.completion_tokens > 0


def test_completions_and_responses_answer_too(endpoint: Endpoint) -> None:
    client = endpoint.client()
    assert client.completions.create(model="starter", prompt="The library", max_tokens=4).choices[0].text
    assert client.responses.create(model="starter", input="Hello", max_output_tokens=16).output_text is not None


DAY = {"type": "string", "enum": ["monday", "sunday"]}
ARGUMENTS = {"type": "object", "properties": {"day": DAY}, "required": ["day"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "hours", "parameters": ARGUMENTS, "strict": True}}
FORCED = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 64}
NAMED = {"type": "function", "function": {"name": "hours"}}
CALL = '<tool_call>{"name": "hours", "arguments": {"day": "monday"}}</tool_call>'
STORY = [{"role": "user", "content": "Tell me a story about the sea."}]  # what was trained has one answer only
SCHEMA = {"name": "day", "schema": ARGUMENTS, "strict": True}
AS_SCHEMA = {"type": "json_schema", "json_schema": SCHEMA}
DRAWN = {"temperature": 1, "response_format": AS_SCHEMA, "max_tokens": 32}


@pytest.fixture(scope="module")
def answers(endpoint: Endpoint) -> dict[str, Any]:
    """What was asked at once, because an engine answers many nearly as fast as one."""
    client = endpoint.client()
    asked: dict[str, Callable[[], Any]] = {
        "required": lambda: endpoint.ask(**FORCED),
        "named": lambda: endpoint.ask(**FORCED | {"tool_choice": NAMED}),
        "stream": lambda: list(endpoint.ask(**FORCED, stream=True)),
        "auto": lambda: endpoint.ask(messages=[{"role": "user", "content": f"Say just this: {CALL}"}], tools=[TOOL],
                                     max_tokens=40),
        "tool": lambda: client.responses.create(
            model="starter", input="Hello", tools=[{"type": "function", **TOOL["function"]}],  # type: ignore[dict-item,list-item]
            tool_choice="required", max_output_tokens=64,
        ),
        "schema": lambda: endpoint.ask(response_format=AS_SCHEMA, max_tokens=32),
        "drawn": lambda: [endpoint.ask(**DRAWN, seed=seed) for seed in (1, 2)],
        "object": lambda: endpoint.ask(messages=[{"role": "user", "content": 'Say just this: {"open": true}'}],
                                       response_format={"type": "json_object"}, max_tokens=48),
        "completed": lambda: endpoint.complete(extra_body={"response_format": AS_SCHEMA}, max_tokens=32),
        "response": lambda: client.responses.create(
            model="starter", input="Hello", text={"format": {"type": "json_schema", **SCHEMA}}, max_output_tokens=32,  # type: ignore[misc,typeddict-item]
        ),
        "logprobs": lambda: endpoint.ask(logprobs=True, top_logprobs=3, max_tokens=3),
        "completed logprobs": lambda: endpoint.complete(logprobs=2, max_tokens=3),
        "several": lambda: endpoint.ask(messages=STORY, n=3, temperature=1, seed=1, max_tokens=8),
        "prompts": lambda: endpoint.complete(n=2, prompt=["The library", "The school"], temperature=1, max_tokens=4),
    }  # fmt: skip
    with ThreadPoolExecutor(len(asked)) as pool:
        begun = {name: pool.submit(ask) for name, ask in asked.items()}
        return {name: future.result() for name, future in begun.items()}


@pytest.mark.parametrize("choice", ["required", "named"])
def test_a_model_that_must_call_a_tool_calls_it(choice: str, answers: dict[str, Any]) -> None:
    (call,) = answers[choice].choices[0].message.tool_calls
    assert (call.type, call.function.name, bool(call.id)) == ("function", "hours", True)
    jsonschema.validate(json.loads(call.function.arguments), ARGUMENTS)


def test_a_call_of_a_tool_comes_in_pieces(answers: dict[str, Any]) -> None:
    said = [chunk.choices[0].delta for chunk in answers["stream"] if chunk.choices]
    pieces = [call.function for delta in said for call in delta.tool_calls or ()]
    assert [piece.name for piece in pieces if piece.name] == ["hours"]
    jsonschema.validate(json.loads("".join(piece.arguments or "" for piece in pieces)), ARGUMENTS)


def test_a_model_that_may_call_a_tool_calls_it_or_speaks(answers: dict[str, Any]) -> None:
    """SmolLM2's template does not tell it of tools, so it is told what a call looks like."""
    message = answers["auto"].choices[0].message
    assert message.tool_calls or message.content
    assert all(call.function.name == "hours" for call in message.tool_calls or ())
    assert not message.tool_calls or "<tool_call>" not in (message.content or "")


def test_a_response_calls_a_tool_too(answers: dict[str, Any]) -> None:
    (call,) = [item for item in answers["tool"].output if item.type == "function_call"]
    assert call.name == "hours"
    jsonschema.validate(json.loads(call.arguments), ARGUMENTS)


def test_answers_keep_to_their_schema(answers: dict[str, Any]) -> None:
    """Also where a model would rather write spaces than the next word."""
    chats = [answers["schema"], *answers["drawn"]]
    assert [chat.choices[0].finish_reason for chat in chats] == ["stop"] * 3
    texts = [chat.choices[0].message.content for chat in chats]
    for text in (*texts, answers["completed"].choices[0].text, answers["response"].output_text):
        jsonschema.validate(json.loads(text), ARGUMENTS)


def test_any_object_is_an_object(answers: dict[str, Any]) -> None:
    assert isinstance(json.loads(answers["object"].choices[0].message.content), dict)


def test_several_answers_to_one_question(answers: dict[str, Any]) -> None:
    several, prompts = answers["several"], answers["prompts"]
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in several.choices}) > 1
    assert 3 < several.usage.completion_tokens <= 24
    assert [choice.index for choice in prompts.choices] == [0, 1, 2, 3]


def test_log_probabilities_come_with_each_token(answers: dict[str, Any]) -> None:
    told, done = answers["logprobs"].choices[0], answers["completed logprobs"].choices[0]
    assert "".join(one.token for one in told.logprobs.content) == told.message.content
    for one in told.logprobs.content:
        assert len(one.top_logprobs) == 3 and one.logprob == one.top_logprobs[0].logprob <= 0
    assert "".join(done.logprobs.tokens) == done.text
    assert [len(most) for most in done.logprobs.top_logprobs] == [2, 2, 2]


def test_a_seed_is_kept_to(endpoint: Endpoint) -> None:
    def chat(seed: int) -> Any:
        return endpoint.ask(messages=STORY, temperature=1, seed=seed, max_tokens=8).choices[0].message.content

    def completion(seed: int) -> Any:
        return endpoint.complete(prompt="Far out at sea", temperature=1, seed=seed, max_tokens=8).choices[0].text

    for draw in (chat, completion):
        first = draw(1)
        assert draw(1) == first
        assert draw(2) != first or draw(3) != first


def test_an_answer_ends_before_its_stop(endpoint: Endpoint) -> None:
    whole, said = endpoint.complete(max_tokens=6).choices[0].text, endpoint.ask(max_tokens=6).choices[0].message.content
    done = endpoint.complete(stop=[whole[-2:]]).choices[0]
    assert (done.text, done.finish_reason) == (whole[: whole.index(whole[-2:])], "stop")
    cut = endpoint.ask(stop=said[-2:]).choices[0]
    assert (cut.message.content, cut.finish_reason) == (said[: said.index(said[-2:])], "stop")


def test_a_completion_streams_with_its_usage_if_asked(endpoint: Endpoint) -> None:
    chunks = list(endpoint.complete(max_tokens=4, stream=True, stream_options={"include_usage": True}))
    assert not chunks[-1].choices and chunks[-1].usage.completion_tokens == 4
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == endpoint.complete(max_tokens=4).choices[0].text
    assert not any(chunk.usage for chunk in [*chunks[:-1], *endpoint.complete(max_tokens=4, stream=True)])


def test_a_model_that_only_writes_has_no_embeddings(endpoint: Endpoint) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        endpoint.client().embeddings.create(model="starter", input="Hello")
    assert caught.value.code == "unsupported_endpoint"


@pytest.mark.parametrize("name", ["nobody", "starter@2", "../etc/passwd", "starter:x", "x" * 300])
def test_no_other_name_answers(name: str, endpoint: Endpoint) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        endpoint.ask(name)
    assert name not in str(caught.value)


def test_an_engines_log_holds_nothing_of_what_was_asked(endpoint: Endpoint) -> None:
    planted = "planted-7f3a"
    odd = [{"type": "text", "text": planted}, {"type": "refusal", "refusal": None, "note": planted}]
    named = {"type": "function", "function": {"name": planted, "parameters": {"type": planted}}}
    for asked in (
        {"messages": [{"role": "user", "content": odd}]},
        {"messages": [{"role": planted, "content": planted}]},
        {"tools": [named], "tool_choice": "required"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": planted, "schema": {"type": planted}}}},
    ):
        with contextlib.suppress(openai.BadRequestError):
            endpoint.ask(max_tokens=1, **asked)
    logs = list((endpoint.home / "serving").rglob("*.log"))
    assert logs and not [log for log in logs if planted in log.read_text(errors="replace")]


def test_a_first_try_needs_no_more_than_what_is_printed(endpoint: Endpoint) -> None:
    printed = re.search(r"API key: (tg_[0-9a-f]{16}_\S+)", endpoint.log.read_text())
    assert printed
    assert [model.id for model in endpoint.client(printed[1]).models.list()] == ["starter"]


def test_no_key_no_answer(endpoint: Endpoint) -> None:
    with pytest.raises(openai.AuthenticationError):
        endpoint.client("tg_0000000000000000_wrong").models.list()


def test_nothing_listens_beyond_this_machine(endpoint: Endpoint) -> None:
    """Neither gateway nor Ray's processes nor the engine."""
    beyond = {
        (psutil.Process(pid).name(), connection.laddr.ip, connection.laddr.port)
        for pid in marked(endpoint.mark)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
        and not ip_address(connection.laddr.ip.removeprefix("::ffff:")).is_loopback
    }
    assert not beyond, beyond


def servers_of(endpoint: Endpoint) -> list[psutil.Process]:
    """The processes with vLLM's command line."""
    processes = [psutil.Process(pid) for pid in marked(endpoint.mark)]
    return [one for one in processes if "vllm.entrypoints.openai.api_server" in one.cmdline()]


def test_the_engine_itself_fetches_nothing(endpoint: Endpoint) -> None:
    """What the gateway refuses is refused a second time: vLLM runs with a list of hosts on which there is none."""
    assert servers_of(endpoint)
    for server in servers_of(endpoint):
        line = server.cmdline()
        assert line[line.index("--allowed-media-domains") + 1] == "nowhere.invalid"
        assert server.environ()["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


def engine_of(endpoint: Endpoint) -> str:
    """Where its engine listens: the one port of vLLM's server that says it is healthy."""
    ports = {
        connection.laddr.port
        for server in servers_of(endpoint)
        for connection in server.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    for port in sorted(ports):
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{port}"
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return url
    raise AssertionError(ports)


def test_an_engines_port_is_closed_to_others(endpoint: Endpoint) -> None:
    url = engine_of(endpoint)
    body = {"model": "starter", "prompt": "a", "max_tokens": 1}
    for path in ("/v1/models", "/v1/load_lora_adapter", "/invocations", "/tokenize", "/metrics", "/version", "/docs"):
        for method in ("GET", "POST"):
            assert httpx.request(method, url + path, json=body, timeout=5).status_code == 401, path


def output_tokens(endpoint: Endpoint) -> float:
    """Tokens of answers that were charged so far."""
    output = re.compile(r'gen_ai_client_token_usage_total{.*gen_ai_token_type="output".*')
    return sum(float(line.split()[-1]) for line in output.findall(httpx.get(f"{endpoint.url}/metrics").text))


def test_a_caller_that_goes_away_stops_the_engine(endpoint: Endpoint) -> None:
    """Nothing is computed any more, and its tokens are charged as far as it came."""
    before = output_tokens(endpoint)
    with endpoint.ask(stream=True, max_tokens=1500, extra_body={"ignore_eos": True}) as stream:
        next(chunk for chunk in stream if chunk.choices[0].delta.content)  # the first only says who speaks
    gone = time.monotonic()
    page = f"{endpoint.url}/metrics"
    while "tunegate_in_flight 0.0" not in httpx.get(page).text:
        assert time.monotonic() - gone < 15
        time.sleep(0.05)
    assert 0 < output_tokens(endpoint) - before < 1000
    busy = sum(psutil.Process(pid).cpu_times().user for pid in marked(endpoint.mark))
    time.sleep(2)
    assert sum(psutil.Process(pid).cpu_times().user for pid in marked(endpoint.mark)) - busy < 1.0


def test_a_killed_route_stops_within_a_second_and_can_answer_again(
    endpoint: Endpoint, command: Callable[..., Any]
) -> None:
    broken: list[Exception] = []
    began = threading.Event()

    def stream() -> None:
        try:
            for _ in endpoint.ask(stream=True, max_tokens=1000, extra_body={"ignore_eos": True}):
                began.set()
        except openai.APIError as error:
            broken.append(error)

    long = threading.Thread(target=stream)
    long.start()
    assert began.wait(60)
    assert command(endpoint.home, "kill", "starter").returncode == 0
    killed = time.monotonic()
    long.join(timeout=20)
    assert not long.is_alive(), "a stream went on"
    assert time.monotonic() - killed < 5  # a second, and what the busy machine of a test adds
    with pytest.raises(openai.InternalServerError):
        endpoint.ask()
    assert command(endpoint.home, "unkill", "starter").returncode == 0
    wait_until_answered(endpoint)
    assert endpoint.ask().model == "starter@1"


def wait_until_answered(endpoint: Endpoint, seconds: float = 10) -> None:
    """Until the gateway has read that the route answers again."""
    until = time.monotonic() + seconds
    while True:
        try:
            endpoint.ask(max_tokens=1)
            return
        except openai.InternalServerError:
            assert time.monotonic() < until, "the route stays stopped"
            time.sleep(0.1)


def test_a_revoked_release_stops_answering(endpoint: Endpoint, command: Callable[..., Any]) -> None:
    """The last one: the endpoint has nothing to serve after it."""
    done = command(endpoint.home, "revoke", "starter@1", "--as", "reviewer", "--reason", "recalled")
    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 5  # a second, and what the busy machine of a test adds
    with pytest.raises((openai.InternalServerError, openai.NotFoundError)):
        while time.monotonic() < until:
            endpoint.ask()
