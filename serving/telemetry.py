"""Requests told to OpenTelemetry and Langfuse, in GenAI's attribute names; what people said of them told to Langfuse.

Spans are made from what was noted, by a thread of their own, after the answer: no request knows of it. They wait in
memory, up to a bound; when a collector is away they are dropped, and counted. Feedback is ours and lies in our tables,
so it is told to Langfuse from there, in order, until Langfuse has taken it.

A span's trace id is the request's id. It holds what a caller said only where the policy keeps that, redacted.
"""

import logging
import threading
from collections import deque
from dataclasses import replace

from serving.tables import Tables
from serving.told import TelemetrySettings, Told

TURN_SECONDS = 0.5
MOST_PENDING = 2_000
MOST_TEXT_BYTES = 65_536  # of one request; a longer text stays in the records only
CLOSE_SECONDS = 3.0

log = logging.getLogger(__name__)


class Telemetry:
    """The queue and its thread. `put` never blocks."""

    def __init__(self, settings: TelemetrySettings, tables: Tables):
        from serving.spans import Spans

        self.lost = 0
        self._pending: deque[Told] = deque()
        self._spans = Spans(settings)
        self._mirror = None
        if settings.langfuse is not None:
            from serving.mirror import ScoreMirror

            self._mirror = ScoreMirror(settings.langfuse, tables)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def put(self, told: Told) -> None:
        """Tell of a request, some time."""
        if len(self._pending) >= MOST_PENDING:
            self._pending.popleft()
            self.lost += 1
        is_long = told.text is not None and told.text.bytes > MOST_TEXT_BYTES
        self._pending.append(replace(told, text=None) if is_long else told)

    def close(self) -> None:
        """Tell what waits, and end; who does not take it within a few seconds is left with it."""
        self._stop.set()
        self._thread.join(timeout=CLOSE_SECONDS)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(TURN_SECONDS)
            while self._pending:
                self._tell(self._pending.popleft())
            if self._mirror is not None:
                self._mirror.turn()
        self._spans.close(CLOSE_SECONDS)
        if self._mirror is not None:
            self._mirror.close()

    def _tell(self, told: Told) -> None:
        try:
            self._spans.make(told)
        except Exception as error:  # a span is never worth a thread
            self.lost += 1
            log.warning("a span could not be made: %s", type(error).__name__)
