"""What a caller is told when a request is not answered, in the form that OpenAI's clients read.

The texts are ours and fixed: no input, no name from a request and no exception's words are repeated in them.
"""

from typing import Any

import orjson

from tunegate_core.errors import TunegateError

INVALID = "invalid_request_error"


class Refusal(TunegateError):
    """A request that gets an error instead of an answer. `retry_after`: whole seconds; None: do not try again.
    `is_for_long`: a client need not wait so long with its caller, as OpenAI's would; a batch may."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        retry_after: int | None = None,
        is_for_long: bool = False,
    ):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.kind, self.param, self.retry_after, self.is_for_long = kind, param, retry_after, is_for_long

    def body(self) -> bytes:
        """The error object as JSON."""
        return orjson.dumps(error_object(self.message, self.kind, self.code, self.param))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What tells a client whether and when to try again."""
        told = [] if self.retry_after is None else [(b"retry-after", b"%d" % self.retry_after)]
        if self.is_for_long or (self.retry_after is None and self.status in (401, 429)):
            told.append((b"x-should-retry", b"false"))
        if self.status == 401:
            told.append((b"www-authenticate", b"Bearer"))
        return told


def error_object(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    """The request itself is wrong."""
    return Refusal(400, code, message, param=param)


def too_large(limit: int) -> Refusal:
    """The body is longer than is read."""
    return Refusal(413, "request_too_large", f"The request is too large; at most {limit} bytes are read.")


def unauthenticated() -> Refusal:
    """No key, an unknown one, or one that has expired or was revoked: these are not told apart."""
    return Refusal(401, "invalid_api_key", "The API key is missing, unknown or no longer valid.")


def forbidden(scope: str) -> Refusal:
    """The key is valid and may not do this."""
    return Refusal(403, "insufficient_scope", f"This API key lacks the scope '{scope}'.", kind="permission_error")


def model_not_found() -> Refusal:
    """No such route, or not for this key: these are not told apart."""
    message = "The model does not exist, or this API key may not call it. GET /v1/models lists those it may."
    return Refusal(404, "model_not_found", message, param="model")


def rate_limited(what: str, retry_after: int) -> Refusal:
    """A limit per minute is used up."""
    message = f"The limit of {what} per minute of this API key is used up."
    return Refusal(429, "rate_limit_exceeded", message, kind="rate_limit_error", retry_after=retry_after)


def budget_used(what: str) -> Refusal:
    """A budget would be overrun; waiting does not help."""
    message = f"What is left of this API key's budget of {what} does not cover this request."
    return Refusal(429, "insufficient_quota", message, kind="insufficient_quota")


def unavailable(code: str, message: str, retry_after: int = 1) -> Refusal:
    """Not now."""
    return Refusal(503, code, message, kind="server_error", retry_after=retry_after)


def switched_off(message: str) -> Refusal:
    """Not until somebody decides otherwise."""
    return Refusal(503, "model_unavailable", message, kind="server_error", retry_after=60, is_for_long=True)


def failed(status: int, code: str, message: str) -> Refusal:
    """Something behind the gateway, or in it, went wrong."""
    return Refusal(status, code, message, kind="server_error")


def place(error: BaseException) -> str:
    """File and line where it was raised: what may be logged of an unforeseen fault, whose words may repeat an input."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
