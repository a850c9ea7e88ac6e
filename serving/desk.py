"""What every request needs at hand, and how it is closed: settled, counted and written down, whatever happened."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from serving.alerts import Alerts
from serving.call import Call
from serving.decide import decide
from serving.errors import Refusal, unavailable
from serving.inflight import InFlight
from serving.judging import Judging
from serving.keys import authenticate
from serving.live import Live
from serving.metrics import Metrics
from serving.pseudonyms import Pseudonyms
from serving.quota import Account, Accounts, Amount
from serving.records import Records, Text
from serving.replicas import Replicas
from serving.settings import GatewaySettings
from serving.telemetry import Telemetry
from serving.told import PARAMETERS, Told
from serving.upstream import Upstream
from serving.view import Key, View


@dataclass(frozen=True)
class Desk:
    """The parts of one gateway."""

    settings: GatewaySettings
    live: Live
    accounts: Accounts
    replicas: Replicas
    upstream: Upstream
    inflight: InFlight
    pseudonyms: Pseudonyms
    records: Records
    metrics: Metrics
    telemetry: Telemetry | None
    alerts: Alerts | None
    judging: Judging | None

    def view(self) -> View:
        """What to decide by. Raises Refusal (503) without a snapshot, or with one that is too old to be used."""
        view = self.live.view
        if view is None or self.live.is_too_old():
            raise unavailable("not_ready", "What may answer is not known at present.", retry_after=5)
        return view

    def caller(self, header: str | None) -> tuple[View, Key]:
        """Who sent this Authorization header, and the view it was decided by. Raises Refusal."""
        view = self.view()
        return view, authenticate(header, view.keys, time.time())

    def account(self, key: Key) -> Account:
        """What a key may still use."""
        return self.accounts.of(key.family, key.limits, time.monotonic())

    def decide_again(self, call: Call) -> None:
        """The engine does not know the version: the routes may have changed meanwhile. Raises Refusal."""
        view = self.view()
        key = view.keys.get(call.key_id)
        if call.decision.arm != "shadow" and key is not None:
            call.decision = decide(view, key, call.request.model, call.unit, self.live.held)

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
        row, text = call.row(self.pseudonyms.of(call.decision.alias, call.unit)), None
        if self.settings.keeps_text:
            prompt = orjson.dumps(call.request.body[call.endpoint.prompt]).decode()
            said = {"prompt": prompt, "answer": call.reading.text}
            text = Text(call.at, said, self.settings.redact)
        self.records.put(row, text)
        if call.is_judged and self.judging is not None:
            self.judging.put(call)
        if self.telemetry is not None:
            asked = {name: call.request.body[name] for name in PARAMETERS if name in call.request.body}
            self.telemetry.put(Told(row, asked, text))
        self.metrics.ended(call)
