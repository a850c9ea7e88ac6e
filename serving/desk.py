"""What every request needs at hand, and how it is closed: settled, counted and written down, whatever happened."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serving.call import Call
from serving.decide import decide
from serving.errors import Refusal, unavailable
from serving.inflight import InFlight
from serving.live import Live
from serving.metrics import Metrics
from serving.quota import Accounts, Amount
from serving.records import Records, keep
from serving.replicas import Replicas
from serving.settings import GatewaySettings
from serving.upstream import Upstream
from serving.view import View


@dataclass(frozen=True)
class Desk:
    """The parts of one gateway."""

    settings: GatewaySettings
    live: Live
    accounts: Accounts
    replicas: Replicas
    upstream: Upstream
    inflight: InFlight
    records: Records
    metrics: Metrics

    def view(self) -> View:
        """What to decide by. Raises Refusal (503) without a snapshot, or with one that is too old to be used."""
        view = self.live.view
        if view is None or self.live.is_too_old():
            raise unavailable("not_ready", "What may answer is not known at present.", retry_after=5)
        return view

    def decide_again(self, call: Call) -> None:
        """The engine does not know the version: the routes may have changed meanwhile. Raises Refusal."""
        view = self.view()
        key = view.keys.get(call.key_id)
        if call.decision.arm != "shadow" and key is not None:
            call.decision = decide(view, key, call.request.model, call.unit)

    @contextmanager
    def closing(self, call: Call) -> Iterator[None]:
        """Close the call when the block ends, in whatever way."""
        call.status, call.code = 500, "internal_error"
        try:
            yield
            call.status, call.code = 200, None
        except Refusal as refusal:
            call.status, call.code = refusal.status, refusal.code
            raise
        finally:
            self._close(call)

    def _close(self, call: Call) -> None:
        """Nothing here waits, so nothing can come between."""
        call.ended = time.perf_counter()
        call.used = call.charge(self.settings.rates)
        used = Amount(call.used.prompt + call.used.output, call.used.micros)
        call.account.settle(call.reservation, used, time.monotonic())
        row, text = call.row(), None
        if call.reading.keeps_text:
            said = {"prompt": str(call.request.body[call.endpoint.prompt]), "answer": "".join(call.reading.text)}
            text = keep(call.at, said, self.settings.redact)
            row["text"] = text.hash
        self.records.put(row, text)
        self.metrics.ended(call)
