"""Engines that somebody else started: any OpenAI-compatible servers, known by their URLs.

They say which models they have; a routed version counts as ready once it has answered a probe there. The versions must
have been loaded under the names that `tunegate_core.snapshot.engine_name` gives. One that does not answer is told of
too, so that a gateway which lacks it does not call itself ready.
"""

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx

from serving.board import Status
from serving.view import View
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.snapshot import verify_snapshot

LOOK_SECONDS = 2.0
ANSWER_SECONDS = 10.0


def parse_upstream(url: str) -> str:
    """A server's URL as paths are put after it. Raises BadInput."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an address that is none
        is_one = False
    found = url.rstrip("/")
    if not is_one or "?" in found or "#" in found or found.endswith("/v1"):
        raise BadInput(f"the upstream is '{url}'; expected http://HOST:PORT, without /v1")
    return found


class StaticUpstreams:
    """`exchange` has the form that the gateway asks for; it looks again every two seconds, or with a new snapshot.

    Raises BadInput for what is no URL of a server.
    """

    def __init__(self, urls: Sequence[str], key: str, public_raw: bytes, clock: Callable[[], float] = time.monotonic):
        self._urls, self._key, self._public, self._clock = tuple(map(parse_upstream, urls)), key, public_raw, clock
        self._answered: dict[str, set[str]] = {url: set() for url in self._urls}
        self._known: list[Status] = []
        self._seen, self._looked = b"", float("-inf")

    def exchange(self, snapshot: bytes) -> Sequence[Status]:
        """Every server, in the order given, with the routed versions that answered a probe there."""
        if snapshot == self._seen and self._clock() - self._looked < LOOK_SECONDS:
            return self._known
        wanted, epoch = self._wanted(snapshot)
        self._known = [self._look(url, wanted, epoch) for url in self._urls]
        self._seen, self._looked = snapshot, self._clock()
        return self._known

    def _wanted(self, snapshot: bytes) -> tuple[frozenset[str], int]:
        try:
            view = View.of(verify_snapshot(snapshot, self._public))
        except IntegrityError:
            return frozenset(), 0
        return view.wanted(), view.epoch

    def _look(self, url: str, wanted: frozenset[str], epoch: int) -> Status:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        answered = self._answered[url]
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=ANSWER_SECONDS) as client:
                listed = {str(model["id"]) for model in client.get("/v1/models").raise_for_status().json()["data"]}
                answered &= listed
                answered |= {name for name in wanted & listed - answered if _answers(client, name)}
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            answered.clear()
            return Status(url, url, self._key, epoch, frozenset(), is_there=False)
        return Status(url, url, self._key, epoch, frozenset(answered))


def _answers(client: httpx.Client, name: str) -> bool:
    body = {"model": name, "prompt": "a", "max_tokens": 1}
    return client.post("/v1/completions", json=body).status_code == httpx.codes.OK
