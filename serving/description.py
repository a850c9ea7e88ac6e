"""The endpoint as OpenAPI 3.1, made from the same lists that the gateway answers by.

`docs/openapi.json` is written from here (`make snapshots`). The gateway does not serve it: what is not described to
strangers need not be guarded. Fields that reach the engine are described by their form; whether a value makes sense is
for the engine to say.
"""

from typing import Any

from serving.batch.jobs import WINDOW
from serving.endpoints import ENDPOINTS, Endpoint
from serving.feedback import BEST, ID_CHARACTERS, TEXT_CHARACTERS, TEXTS, THUMBS
from serving.sanitise import MOST_INCLUDED, Caps

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
KEYED: list[Schema] = [{"key": []}]
COMMON = {400: "the request is wrong", 401: "no valid key", 403: "a key without the scope", 408: "sent too slowly"}
REFUSED = COMMON | {
    404: "no such thing for this key",
    413: "too large",
    415: "an encoded body",
    429: "a limit or budget is used up",
    500: "the gateway failed",
    502: "the engine failed",
    503: "not at present",
    504: "the answer took too long",
}


def describe() -> Schema:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tunegate", "version": "1", "description": "What was released answers under its route."},
        "paths": {endpoint.path: {"post": _asking(endpoint)} for endpoint in ENDPOINTS} | _others(),
        "components": {
            "schemas": _schemas(Caps()),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "tg_<key id>_<secret>"}},
        },
    }


def _asking(endpoint: Endpoint) -> Schema:
    name = endpoint.path.removeprefix("/v1/").replace("/", " ")
    fields = {field: FIELDS[field] for field in sorted(endpoint.fields)}
    wanted = {"model": _ref("Model"), endpoint.prompt: FIELDS[endpoint.prompt]}
    body = {"type": "object", "required": sorted(wanted), "properties": _user_fields() | fields | wanted}
    answers: Schema = {"application/json": {"schema": _ref(ANSWERS[endpoint.path])}}
    if endpoint.events != "none":
        answers["text/event-stream"] = {"schema": _object(data=TEXT)}
    return {
        "summary": f"Ask for {name}",
        "security": KEYED,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "the answer", "content": answers, "headers": HEADERS}}
        | _refusals(REFUSED),
    }


def _others() -> Schema:
    one, key = _parameter("model"), {"security": KEYED}
    file, batch = _parameter("id"), _parameter("id")
    listing = {"parameters": [_query("after", TEXT), _query("limit", WHOLE | {"minimum": 1, "maximum": 100})]}
    form = {"type": "object", "required": ["file", "purpose"], "properties": {"file": TEXT, "purpose": TEXT}}
    upload = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return {
        "/v1/models": {"get": _told("The routes of this key", "ModelList", COMMON | _not_ready()) | key},
        "/v1/models/{model}": {"get": _told("One of them", "ModelCard", REFUSED) | key | one},
        "/v1/feedback": {"post": _told("Say how an answer was", "Given", REFUSED, 201, "Feedback") | key},
        "/v1/files": {
            "get": _told("This key's files", "List", REFUSED) | key,
            "post": _told("Leave a file", "File", REFUSED) | key | {"requestBody": upload},
        },
        "/v1/files/{id}": {
            "get": _told("What is known of a file", "File", REFUSED) | key | file,
            "delete": _told("Forget a file", "Deleted", REFUSED) | key | file,
        },
        "/v1/files/{id}/content": {"get": _told("What lies in a file", None, REFUSED) | key | file},
        "/v1/batches": {
            "get": _told("This key's batches", "List", REFUSED) | key | listing,
            "post": _told("Begin a batch", "Batch", REFUSED, 200, "BatchWanted") | key,
        },
        "/v1/batches/{id}": {"get": _told("How far a batch is", "Batch", REFUSED) | key | batch},
        "/v1/batches/{id}/cancel": {"post": _told("Call a batch off", "Batch", REFUSED) | key | batch},
        "/livez": {"get": _told("Whether the gateway runs", "Health", {})},
        "/readyz": {"get": _told("Whether all that is routed can answer", "Health", {}, also={503: "Health"})},
        "/metrics": {"get": _told("For Prometheus; from elsewhere with a key", "", COMMON | _not_ready())},
    }


def _told(
    summary: str,
    schema: str | None,
    refused: dict[int, str],
    status: int = 200,
    wanted: str = "",
    also: dict[int, str] | None = None,
) -> Schema:
    """An operation. `schema`: of the answer; "" for plain text, None for the bytes of a file."""
    kinds = {"": "text/plain", None: "application/jsonl"}
    content = {kinds.get(schema, "application/json"): {"schema": _ref(schema) if schema else TEXT}}
    responses: Schema = {str(status): {"description": "done", "content": content}} | _refusals(refused)
    for other, name in (also or {}).items():
        responses[str(other)] = {"description": "not so", "content": {"application/json": {"schema": _ref(name)}}}
    operation: Schema = {"summary": summary, "responses": responses}
    if wanted:
        body = {"application/json": {"schema": _ref(wanted)}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _refusals(refused: dict[int, str]) -> Schema:
    content = {"application/json": {"schema": _ref("Error")}}
    return {str(status): {"description": why, "content": content} for status, why in refused.items()}


def _not_ready() -> dict[int, str]:
    return {503: REFUSED[503], 404: REFUSED[404]}


def _user_fields() -> Schema:
    text = {"type": "string", "maxLength": Caps().identity_characters}
    return {"user": text, "safety_identifier": text, "store": {"const": False}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Schema) -> Schema:
    """An object that has all of these, and may have more."""
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _parameter(name: str) -> Schema:
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": TEXT}]}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _most(caps: Caps, least: int = 1) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": caps.context_tokens}


def _schemas(caps: Caps) -> Schema:
    error = _object(message=TEXT, type=TEXT, param=_either(TEXT, {"type": "null"}), code=TEXT)
    usage = _object(prompt_tokens=WHOLE, total_tokens=WHOLE)
    answered = {"id": TEXT, "object": TEXT, "model": TEXT, "usage": _ref("Usage")}
    card = {"id": TEXT, "object": {"const": "model"}, "created": WHOLE, "owned_by": TEXT}
    said = {name: {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS} for name in TEXTS}
    marks = {
        "thumb": {"enum": sorted(THUMBS)},
        "rating": {"type": "integer", "minimum": 1, "maximum": BEST},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    }
    answer_id = {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS}
    notes = {"type": "object", "maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 512}}
    batch = {
        "input_file_id": TEXT,
        "endpoint": {"enum": [e.path for e in ENDPOINTS]},
        "completion_window": {"const": WINDOW},
    }
    counts = _object(total=WHOLE, completed=WHOLE, failed=WHOLE)
    return {
        "Error": _object(error=error),
        "Usage": usage,
        "Model": {"type": "string", "description": f"A route; a body may have {caps.body_bytes} bytes."},
        "Completion": _object(**answered, choices=OBJECTS),
        "Response": _object(id=TEXT, object={"const": "response"}, model=TEXT, output=OBJECTS),
        "Embeddings": _object(object={"const": "list"}, model=TEXT, data=OBJECTS, usage=_ref("Usage")),
        "ModelCard": _object(**card),
        "ModelList": _object(object={"const": "list"}, data={"type": "array", "items": _ref("ModelCard")}),
        "List": _object(object={"const": "list"}, data=OBJECTS, has_more=FLAG),
        "Feedback": {
            "type": "object",
            "required": ["response_id"],
            "properties": {"response_id": answer_id, **marks, **said},
            "anyOf": [{"required": [name]} for name in (*marks, *said)],
        },
        "Given": _object(object={"const": "feedback"}, response_id=TEXT),
        "File": _object(id=TEXT, object={"const": "file"}, bytes=WHOLE, created_at=WHOLE, filename=TEXT, purpose=TEXT),
        "Deleted": _object(id=TEXT, object={"const": "file"}, deleted={"const": True}),
        "BatchWanted": _object(**batch) | {"properties": batch | {"metadata": notes}},
        "Batch": _object(id=TEXT, object={"const": "batch"}, endpoint=TEXT, status=TEXT, request_counts=counts),
        "Health": _object(status=TEXT),
    }


ANSWERS = {
    "/v1/chat/completions": "Completion",
    "/v1/completions": "Completion",
    "/v1/responses": "Response",
    "/v1/embeddings": "Embeddings",
}
HEADERS: Schema = {
    name: {"description": what, "schema": TEXT}
    for name, what in (
        ("x-request-id", "of this request; also the end of the answer's id"),
        ("x-served-model", "the version that answered"),
        ("x-route-epoch", "of the snapshot it was decided by"),
        ("x-gateway-overhead-ms", "what the gateway added before the answer began"),
    )
}
_CAPS = Caps()
FIELDS: dict[str, Schema] = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty"), NUMBER),
    **dict.fromkeys(("repetition_penalty",), NUMBER),
    **dict.fromkeys(("top_k", "seed"), WHOLE),
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), _most(_CAPS)),
    **dict.fromkeys(("stream", "parallel_tool_calls", "ignore_eos"), FLAG),
    **dict.fromkeys(("response_format", "reasoning", "text"), OBJECT),
    **dict.fromkeys(("suffix", "reasoning_effort", "truncation", "encoding_format", "instructions"), TEXT),
    "stream_options": _object() | {"properties": {"include_usage": FLAG}},
    "min_tokens": _most(_CAPS, 0),
    "n": {"type": "integer", "minimum": 1, "maximum": _CAPS.choices},
    "stop": _either(
        {"type": "string", "maxLength": _CAPS.stop_characters},
        {"type": "array", "items": {"type": "string", "maxLength": _CAPS.stop_characters}, "maxItems": _CAPS.stops},
    ),
    "logit_bias": {"type": "object", "maxProperties": _CAPS.logit_biases, "additionalProperties": NUMBER},
    "logprobs": _either(FLAG, {"type": "integer", "minimum": 0, "maximum": _CAPS.top_logprobs}),
    "top_logprobs": {"type": "integer", "minimum": 0, "maximum": _CAPS.top_logprobs},
    "dimensions": WHOLE,
    "include": {"type": "array", "items": TEXT, "maxItems": MOST_INCLUDED},
    "tools": {"type": "array", "items": _object(type={"const": "function"}), "maxItems": _CAPS.tools},
    "tool_choice": _either(TEXT, OBJECT),
    "messages": {"type": "array", "items": _object(role=TEXT), "minItems": 1, "maxItems": _CAPS.messages},
    "prompt": _either({"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "maxItems": _CAPS.prompts}),
    "input": _either({"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "maxItems": _CAPS.prompts}),
}
