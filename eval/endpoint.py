"""Where an OpenAI-compatible endpoint is asked for one reply: greedy, patient within limits, its errors told apart."""

import os
import time
from dataclasses import dataclass, field
from typing import Any

from tunegate_core.errors import BadInput

TRIES = 3
WAIT_SECONDS = 0.5  # before the second try; doubled before the third
AGAIN = {408, 409, 429, 500, 502, 503, 504}


class NoReply(Exception):
    """There is no reply; the message is a reason that can be counted."""


@dataclass
class Endpoint:
    """A chat endpoint at `url` (with its /v1). `key_env` names the variable that holds the API key."""

    url: str
    model: str
    key_env: str | None
    timeout_s: float
    parallel: int
    _client: Any = field(default=None, repr=False)

    def __enter__(self) -> "Endpoint":
        """Open it. Raises BadInput when the API key is not there."""
        import httpx

        key = os.environ.get(self.key_env) if self.key_env else None
        if self.key_env and not key:
            raise BadInput(f"the judge's API key is read from ${self.key_env}, which is not set; set it")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=self.parallel)
        self._client = httpx.Client(headers=headers, timeout=self.timeout_s, limits=limits, follow_redirects=False)
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._client.close()

    def ask(self, prompt: str, tokens: int) -> str:
        """The reply to one user's turn. Raises NoReply after three tries."""
        import httpx

        place = f"{self.url.rstrip('/')}/chat/completions"
        turns = [{"role": "user", "content": prompt}]
        asked = {"model": self.model, "messages": turns, "temperature": 0, "max_tokens": tokens}
        why = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(WAIT_SECONDS * 2 ** (attempt - 1))
            try:
                got = self._client.post(place, json=asked)
            except httpx.TimeoutException:
                why = "judge timed out"
                continue
            except httpx.HTTPError:
                why = "judge failed: no connection"
                continue
            if got.status_code == httpx.codes.OK:
                return _text(got)
            why = f"judge failed: status {got.status_code}"
            if got.status_code not in AGAIN:
                break
        raise NoReply(why)


def _text(got: Any) -> str:
    try:
        text = got.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NoReply("judge failed: its reply is no chat completion") from error
    return text if isinstance(text, str) else ""
