"""What is said about an answer: a thumb, a rating, a correction, a preferred answer, a comment; a judge's score."""

from dataclasses import dataclass
from typing import Any

import orjson

from serving.errors import bad_request

TEXT_CHARACTERS = 32_768
ID_CHARACTERS = 64
TEXTS = ("correction", "preferred", "comment")
THUMBS = {"up": 1, "down": -1}
BEST = 5


@dataclass(frozen=True)
class Feedback:
    """`thumb` is 1 or -1, `rating` 1 to 5, `score` 0 to 1; `texts` by their names."""

    response_id: str
    thumb: int | None
    rating: int | None
    score: float | None
    texts: dict[str, str]


def parse_feedback(raw: bytes) -> Feedback:
    """The feedback in a body. Raises Refusal (400) naming the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise bad_request("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    response_id, thumb, rating = body.get("response_id"), body.get("thumb"), body.get("rating")
    if not isinstance(response_id, str) or not 0 < len(response_id) <= ID_CHARACTERS:
        raise bad_request("'response_id' must be the id of an answer.", "response_id")
    if thumb is not None and (not isinstance(thumb, str) or thumb not in THUMBS):
        raise bad_request("'thumb' must be 'up' or 'down'.", "thumb")
    if rating is not None and (type(rating) is not int or not 1 <= rating <= BEST):
        raise bad_request(f"'rating' must be a whole number from 1 to {BEST}.", "rating")
    score, texts = _score(body.get("score")), _texts(body)
    if thumb is None and rating is None and score is None and not texts:
        raise bad_request(f"Give at least one of 'thumb', 'rating', 'score', {', '.join(map(repr, TEXTS))}.")
    return Feedback(response_id, None if thumb is None else THUMBS[thumb], rating, score, texts)


def _score(found: Any) -> float | None:
    if found is None:
        return None
    if type(found) not in (int, float) or not 0 <= found <= 1:
        raise bad_request("'score' must be a number from 0 to 1.", "score")
    return float(found)


def _texts(body: dict[str, Any]) -> dict[str, str]:
    texts = {name: body[name] for name in TEXTS if body.get(name) is not None}
    for name, text in texts.items():
        if not isinstance(text, str) or not 0 < len(text) <= TEXT_CHARACTERS:
            raise bad_request(f"'{name}' must be a text of at most {TEXT_CHARACTERS} characters.", name)
    return texts
