"""From a caller's bytes to a body that may reach an engine: bounded, known fields only, nothing fetched from elsewhere.

Pure. Fields that no endpoint knows are left out; those that would change what the caller believes to have happened
(a stored response, a conversation, a remote image) are refused. Whether the remaining values make sense is for the
engine to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from serving.endpoints import Endpoint
from serving.errors import bad_request
from serving.media import verify_media

NOT_KEPT = ("previous_response_id", "conversation", "background", "prompt_cache_retention")
MOST_INCLUDED = 8  # as many kinds as there are; the log-probabilities of a response are one
TEMPLATE_TOKENS = 32  # what a chat template adds


@dataclass(frozen=True)
class Caps:
    """The most of everything. `context_tokens`: prompt and answer together, as the engine was started with.

    `media_domains`: hosts from which an engine may fetch media.
    """

    body_bytes: int = 1_048_576
    depth: int = 32
    messages: int = 512
    prompts: int = 32
    choices: int = 8
    context_tokens: int = 8192
    stops: int = 8
    stop_characters: int = 256
    top_logprobs: int = 20
    logit_biases: int = 300
    tools: int = 128
    schema_bytes: int = 65_536
    pattern_characters: int = 512
    identity_characters: int = 256
    media_domains: tuple[str, ...] = ()
    file_bytes: int = 104_857_600
    files: int = 100  # of one key
    batch_lines: int = 50_000


@dataclass(frozen=True)
class Request:
    """A request that may be forwarded; `body` lacks the model.

    `most_prompt` and `most_output` are the tokens that it can use at most. `user` is who asks behind the key, if told.
    """

    model: str
    body: dict[str, Any]
    is_stream: bool
    wants_usage: bool
    most_prompt: int
    most_output: int
    user: str | None


def sanitise(endpoint: Endpoint, raw: bytes, caps: Caps) -> Request:
    """The request in `raw`. Raises Refusal (400) naming the field."""
    body = _parse(raw, caps)
    model = body.get("model")
    if not isinstance(model, str):
        raise bad_request("'model' must be a string.", "model")
    _refuse_what_is_not_kept(body)
    kept = {name: value for name, value in body.items() if name in endpoint.fields and value is not None}
    if not isinstance(kept.get(endpoint.prompt), str | list) or not kept[endpoint.prompt]:
        raise bad_request(f"'{endpoint.prompt}' must be given, and not be empty.", endpoint.prompt)
    prompts, choices = _verify_sizes(endpoint, kept, caps)
    verify_media(kept[endpoint.prompt], endpoint.prompt, caps.media_domains)
    _verify_structure(kept, caps)
    is_stream = _flag(kept, "stream")
    # A token has a byte at least; digits, and letters that the tokenizer does not know, have no more.
    prompt_tokens = min(len(raw) + TEMPLATE_TOKENS, caps.context_tokens * prompts)
    return Request(
        model=model,
        body=kept,
        is_stream=is_stream,
        wants_usage=_wants_usage(kept, is_stream),
        most_prompt=prompt_tokens,
        most_output=prompts * choices * _most_output(endpoint, kept, caps),
        user=_user(body, caps),
    )


def _parse(raw: bytes, caps: Caps) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise bad_request("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    # Most bodies have fewer brackets than levels are allowed, and need no walk.
    if raw.count(b"{") + raw.count(b"[") > caps.depth and _depth(body) > caps.depth:
        raise bad_request(f"The body is nested more than {caps.depth} levels deep.", code="invalid_json")
    return body


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
    return depth


def _children(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())


def _refuse_what_is_not_kept(body: dict[str, Any]) -> None:
    for name in (*NOT_KEPT, "store"):
        if body.get(name):
            raise bad_request(
                f"'{name}' is not supported: nothing is kept between requests.", name, "unsupported_value"
            )


def _verify_sizes(endpoint: Endpoint, body: dict[str, Any], caps: Caps) -> tuple[int, int]:
    """How many prompts there are, and answers that are asked for to each."""
    prompts = 1
    prompt = body[endpoint.prompt]
    if endpoint.prompt == "messages" or endpoint.events == "typed":
        _verify_length(prompt, endpoint.prompt, caps.messages)
    elif isinstance(prompt, list) and not isinstance(prompt[0], int):
        _verify_length(prompt, endpoint.prompt, caps.prompts)
        prompts = len(prompt)
    _verify_length(body.get("tools"), "tools", caps.tools)
    _verify_length(body.get("include"), "include", MOST_INCLUDED)
    _verify_length(body.get("logit_bias"), "logit_bias", caps.logit_biases)
    _verify_stop(body.get("stop"), caps)
    _whole(body, "top_logprobs", 0, caps.top_logprobs)
    if body.get("logprobs") not in (None, True, False):
        _whole(body, "logprobs", 0, caps.top_logprobs)
    choices = _whole(body, "n", 1, caps.choices)
    return prompts, choices or 1


def _verify_length(value: Any, name: str, most: int) -> None:
    if isinstance(value, list | dict) and len(value) > most:
        raise bad_request(f"'{name}' may have at most {most} entries.", name)


def _verify_stop(stop: Any, caps: Caps) -> None:
    if stop is None:
        return
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise bad_request("'stop' must be a string or a list of strings.", "stop")
    _verify_length(stops, "stop", caps.stops)
    if any(len(one) > caps.stop_characters for one in stops):
        raise bad_request(f"Each 'stop' may have at most {caps.stop_characters} characters.", "stop")


def _whole(body: dict[str, Any], name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad_request(f"'{name}' must be a whole number from {least} to {most}.", name)
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(f"'{name}' must be true or false.", name)
    return value


def _most_output(endpoint: Endpoint, body: dict[str, Any], caps: Caps) -> int:
    given = [_whole(body, name, 1, caps.context_tokens) for name in endpoint.limits]
    _whole(body, "min_tokens", 0, caps.context_tokens)
    if not endpoint.generates:
        return 0
    return next((value for value in given if value is not None), caps.context_tokens)


def _verify_structure(body: dict[str, Any], caps: Caps) -> None:
    """Grammars are compiled by the engine, so they are bounded. Tools that an engine would call itself are refused."""
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise bad_request("'tools' must be a list.", "tools")
    for tool in tools:
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise bad_request("Only tools of the type 'function' are supported; the caller runs them.", "tools")
    for name in ("response_format", "tools", "text"):
        value = body.get(name)
        if isinstance(value, dict | list):
            _verify_schema(value, name, caps)


def _verify_schema(value: Any, name: str, caps: Caps) -> None:
    if len(orjson.dumps(value)) > caps.schema_bytes:
        raise bad_request(f"'{name}' may have at most {caps.schema_bytes} bytes.", name)
    level = [value]
    while level:
        for one in level:
            pattern = one.get("pattern") if isinstance(one, dict) else None
            if isinstance(pattern, str) and len(pattern) > caps.pattern_characters:
                raise bad_request(f"A pattern may have at most {caps.pattern_characters} characters.", name)
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]


def _wants_usage(body: dict[str, Any], is_stream: bool) -> bool:
    """Whether the caller asked for the usage of a stream; ours to ask for in any case."""
    options = body.pop("stream_options", None)
    if options is None:
        return False
    if not isinstance(options, dict) or not is_stream:
        raise bad_request("'stream_options' goes with 'stream', as an object.", "stream_options")
    return _flag(options, "include_usage")


def _user(body: dict[str, Any], caps: Caps) -> str | None:
    for name in ("safety_identifier", "user"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > caps.identity_characters:
            raise bad_request(f"'{name}' must be a string of at most {caps.identity_characters} characters.", name)
        if value:
            return value
    return None
