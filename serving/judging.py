"""A judge's scores of a sample of answers, while a route has a canary: asked beside the answering, only numbers kept.

A sampled answer is held in memory until a thread has asked the judge. What leaves is redacted as what is kept is. What
stays is a score from 0 to 1 beside the request's row, under the key id `judge`; the canary's guard `score` reads it
there. What the judge does not take in time, or can't read, is no score, and is counted (`lost`): no request waits.

Of champion and canary about as many answers are drawn, whatever their weights, as the test learns from the smaller
number. Which answer is drawn depends on nothing that it says. A caller counts once in a stage, so one is drawn once.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serving.call import Call
from serving.quota import Bucket
from serving.records import Records
from serving.redaction import Redact
from serving.settings import Judge, JudgeSettings
from serving.view import View
from tunegate_core.snapshot import ALL, Route

KEY_ID = "judge"
MOST_PENDING = 64
MOST_CHARACTERS = 65_536  # of question and answer together; longer ones are not judged
MOST_REMEMBERED = 100_000
TURN_SECONDS = 0.2
CLOSE_SECONDS = 3.0

log = logging.getLogger(__name__)

Drawn = tuple[str, str, str]  # route, version and caller


@dataclass(frozen=True)
class Sampled:
    """An answer that waits for its score."""

    drawn: Drawn
    response_id: str
    question: str = field(repr=False)
    answer: str = field(repr=False)


class Judging:
    """`wants` and `put` are called where requests are answered; they never block and never fail."""

    def __init__(
        self,
        settings: JudgeSettings,
        records: Records,
        redact: Redact,
        draw: Callable[[], float] = random.random,
    ):
        self.scored = self.lost = 0
        self._settings, self._records, self._redact, self._draw = settings, records, redact, draw
        self._queue: queue.Queue[Sampled] = queue.Queue(MOST_PENDING)
        self._rate = Bucket(settings.per_minute, settings.per_minute, time.monotonic())
        self._known: set[Drawn] = set()  # in the present stage
        self._stage: dict[str, Route] = {}  # each route as it is in it
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"judge-{number}", daemon=True)
            for number in range(settings.parallel)
        ]

    @property
    def pending(self) -> int:
        """Answers that wait."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def wants(self, view: View, call: Call) -> bool:
        """Whether this call's answer is drawn: decided before there is one."""
        decision = call.decision
        route = view.routes.get(decision.alias)
        if route is None or route.canary is None or decision.arm not in ("champion", "canary"):
            return False
        if not call.endpoint.generates or not is_one_question(call):
            return False
        share, drawn = share_of(self._settings.share, route, decision.arm == "canary"), drawn_of(call)
        with self._lock:
            self._follow(decision.alias, route)
            if drawn in self._known or self._draw() >= share:
                return False
            if len(self._known) < MOST_REMEMBERED:
                self._known.add(drawn)
        return True

    def put(self, call: Call) -> None:
        """Take the answer that was drawn, where there is one to judge."""
        answer, drawn = call.reading.text, drawn_of(call)
        if call.status != 200 or call.reading.called_tool or not answer.strip():
            return
        said = question_of(call)
        self._rate.fill(time.monotonic())
        if len(said) + len(answer) > MOST_CHARACTERS or self._rate.level < 1:
            return self._lose(drawn)
        try:
            self._queue.put_nowait(Sampled(drawn, call.response_id, said, answer))
        except queue.Full:
            return self._lose(drawn)
        self._rate.level -= 1

    def close(self) -> None:
        """End; what waits is not judged any more, and who is asked now is waited for a moment."""
        self._stop.set()
        until = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _follow(self, alias: str, route: Route) -> None:
        """Another canary, or another share, is another stage, in which a caller counts again."""
        if self._stage.get(alias) != route:
            self._stage[alias] = route
            self._known = {drawn for drawn in self._known if drawn[0] != alias}

    def _run(self) -> None:
        with self._settings.open() as judge:
            while not self._stop.is_set():
                try:
                    self._ask(judge, self._queue.get(timeout=TURN_SECONDS))
                except queue.Empty:
                    continue

    def _ask(self, judge: Judge, sampled: Sampled) -> None:
        try:
            score = judge(self._redact(sampled.question), self._redact(sampled.answer))
        except Exception as error:  # whatever a judge or a way of redaction raises; its words may hold what was said
            log.warning("an answer could not be judged: %s", type(error).__name__)
            score = None
        if score is None:
            return self._lose(sampled.drawn)
        at = time.time_ns() // 1_000_000
        marks = {"thumb": None, "rating": None, "text": None, "score": score}
        self._records.score({"request": sampled.response_id, "at": at, "key_id": KEY_ID, **marks})
        with self._lock:
            self.scored += 1

    def _lose(self, drawn: Drawn) -> None:
        """No score came of it; the same caller may be drawn again."""
        with self._lock:
            self.lost += 1
            self._known.discard(drawn)


def drawn_of(call: Call) -> Drawn:
    """Whose answer by which version it is."""
    return call.decision.alias, call.decision.subject, call.unit


def share_of(share: float, route: Route, is_canary: bool) -> float:
    """The share of an arm's answers that is drawn: `share` of the arm that has fewer, as many of the other."""
    own, other = route.canary_bp, ALL - route.canary_bp
    if not is_canary:
        own, other = other, own
    return share if own <= other else share * other / own


def is_one_question(call: Call) -> bool:
    """Whether there is one prompt and one answer to it."""
    prompt = call.request.body[call.endpoint.prompt]
    is_list_of_prompts = call.endpoint.path == "/v1/completions" and isinstance(prompt, list)
    return call.request.body.get("n", 1) == 1 and not is_list_of_prompts


def question_of(call: Call) -> str:
    """What was asked, as one text: turns with who spoke where there are several; no media."""
    body = call.request.body
    asked = body[call.endpoint.prompt]
    turns = [_turn(turn) for turn in asked] if isinstance(asked, list) else [("user", str(asked))]
    if isinstance(body.get("instructions"), str):
        turns.insert(0, ("system", body["instructions"]))
    if len(turns) == 1:
        return turns[0][1]
    return "\n".join(f"{role}: {text}" for role, text in turns)


def _turn(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, dict):
        return "user", str(turn)
    content = turn.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)]
    return str(turn.get("role", "user")), " ".join(text for text in texts if isinstance(text, str))
