"""What a person must know at once, told to a webhook: one JSON object each, tried again until it is taken.

A thread of its own tells, so nothing waits for the receiver. An alert holds routes, versions, guards and figures, never
what was asked or answered. The address may be a secret (chat services hide a token in it): no line of ours names it.

Alerts wait in memory: one that nobody takes for a day, that the receiver refuses, or that a gateway can't tell within
moments of its end is lost, and counted. The event in the ledger stays.
"""

import logging
import threading
import time
from collections import deque
from typing import Any

import httpx

TURN_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 60.0
ANSWER_SECONDS = 5.0
CLOSE_SECONDS = 3.0
MOST_PENDING = 100
MOST_AGE_SECONDS = 86_400.0
PASSING = {408, 425, 429}  # refusals that say "later"

log = logging.getLogger(__name__)

Alert = dict[str, Any]


class Alerts:
    """The queue and its thread. `put` never blocks and never fails."""

    def __init__(self, url: str):
        self.lost = 0
        self._url = url
        self._pending: deque[tuple[float, Alert]] = deque()
        self._failures = 0  # in a row
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    @property
    def pending(self) -> int:
        """Alerts that nobody has taken yet."""
        return len(self._pending)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def put(self, alert: Alert) -> None:
        """Tell this, as soon as somebody takes it."""
        if len(self._pending) >= MOST_PENDING:
            self._pending.popleft()
            self.lost += 1
        self._pending.append((time.monotonic(), alert))

    def close(self) -> None:
        """Try once more what waits, and end."""
        self._stop.set()
        self._thread.join(timeout=CLOSE_SECONDS)

    def _run(self) -> None:
        with httpx.Client(timeout=ANSWER_SECONDS) as client:
            while not self._stop.wait(self._pause()):
                self._tell_all(client)
            self._tell_all(client)

    def _pause(self) -> float:
        """Seconds until the next try: twice as long after each failure."""
        if not self._failures:
            return TURN_SECONDS
        return min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10))

    def _tell_all(self, client: httpx.Client) -> None:
        """In order, until one is not taken."""
        while self._pending:
            since, alert = self._pending.popleft()
            status = self._post(client, alert)
            if status is None or status >= 500 or status in PASSING:
                self._failures += 1
                self._wait_or_lose(since, alert)
                return
            self._failures = 0
            if status >= 300:
                self.lost += 1
                log.error("the webhook refuses alerts with %d; is its address right?", status)

    def _post(self, client: httpx.Client, alert: Alert) -> int | None:
        """The receiver's answer; None when there is none."""
        try:
            return client.post(self._url, json=alert).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("an alert waits for the webhook: %s", type(error).__name__)
            return None

    def _wait_or_lose(self, since: float, alert: Alert) -> None:
        if time.monotonic() - since > MOST_AGE_SECONDS:
            self.lost += 1
            log.error("nobody took an alert for a day: %s", alert["id"])
        else:
            self._pending.appendleft((since, alert))
