"""Answers of the small paths, and errors in OpenAI's form wherever they come from."""

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import INVALID, Refusal, failed, unavailable
from tunegate_core.errors import TunegateError


def told(body: dict[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(body), status, media_type="application/json")


async def on_refusal(_: Request, error: Exception) -> Response:
    """An error of ours."""
    refusal = error if isinstance(error, Refusal) else unavailable("unavailable", "Not now; try again in a moment.", 5)
    headers = {name.decode(): value.decode() for name, value in refusal.headers()}
    return Response(refusal.body(), refusal.status, headers, "application/json")


async def on_http_error(request: Request, error: Exception) -> Response:
    """A path or method that is not there."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status >= 500:
        return await on_refusal(request, failed(status, "internal_error", "The gateway failed."))
    code, message = {
        404: ("unknown_url", "There is no such path."),
        405: ("method_not_allowed", "This path knows another method."),
    }.get(status, ("bad_request", "The request can't be read."))
    answer = await on_refusal(request, Refusal(status, code, message, kind=INVALID))
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


ERRORS: dict[Any, Any] = {TunegateError: on_refusal, HTTPException: on_http_error, Exception: on_http_error}
