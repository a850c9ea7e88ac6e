"""An endpoint over what was released: replicas under Ray with the gateway in front, or the gateway alone.

The gateway runs in this process and in the only event loop of it; the ledger is written to from its threads, and read
again every few seconds, so that a snapshot says how long ago it was still the newest.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from serving.app import build_gateway
from serving.engine import EngineSettings
from serving.fleet import Scale, deployed
from serving.http import gateway_server
from serving.rates import MILLION, Rate, RateCard
from serving.redaction import redaction
from serving.replica import ReplicaSettings
from serving.replicas import Exchange
from serving.sanitise import Caps
from serving.sealing import Retention
from serving.settings import CanarySettings, GatewaySettings, ShadowBudget
from serving.static import StaticUpstreams
from serving.told import LangfuseSettings, TelemetrySettings
from serving.view import View
from tunegate.canaries import status_file
from tunegate.console.app import build_console
from tunegate.house import House
from tunegate.publishing import publish, snapshot_file
from tunegate.scoring import judge_settings, judged_by
from tunegate.steering import Steering
from tunegate_core.config.endpoint import Endpoint
from tunegate_core.errors import BadInput, TunegateError
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.snapshot import Grant, Snapshot

CONFIRM_SECONDS = 5.0
MIB = 1_048_576
DEFAULT_RATE = "default"
CONSOLE = "/console"

log = logging.getLogger(__name__)


def serve(house: House, endpoint: Endpoint, host: str, port: int) -> None:
    """Replicas and gateway until Ctrl-C or SIGTERM; then everything is drained and ended.

    Raises BadInput when no route answers, ResourcesUnavailable when replicas can't be placed.
    """
    verify_endpoint(endpoint)
    snapshot = publish(house)
    grants = _granted(snapshot)
    _tell_unused_rates(endpoint, snapshot)
    house.progress("starting the engine", 0, 1)
    with deployed(_replica(house, endpoint, grants), _scale(endpoint), house.address) as fleet:
        house.progress("starting the engine", 1, 1)
        _run(house, endpoint, fleet.exchange, host, port, is_vllm=True)


def gateway(house: House, endpoint: Endpoint, upstreams: Sequence[str], key: str, host: str, port: int) -> None:
    """The gateway alone, in front of engines that somebody else runs, until Ctrl-C or SIGTERM."""
    verify_endpoint(endpoint)
    _tell_unused_rates(endpoint, publish(house))
    static = StaticUpstreams(upstreams, key, _public(house))
    _run(house, endpoint, static.exchange, host, port, is_vllm=False)


def verify_endpoint(endpoint: Endpoint) -> None:
    """What the config names is there, before an engine is started for it. Raises BadInput, ConfigError."""
    redaction(endpoint.records.redaction)
    judge_settings(endpoint)
    _telemetry(endpoint)


def upstream_names(house: House) -> dict[str, str]:
    """What each routed version must be called by the engines before which a gateway stands."""
    view = View.of(publish(house))
    return {subject: view.names[subject] for subject in sorted(view.routed)}


def gateway_settings(house: House, endpoint: Endpoint, exchange: Exchange, is_vllm: bool) -> GatewaySettings:
    """What this house's gateway is built from."""
    return GatewaySettings(
        snapshot=snapshot_file(house),
        public_raw=_public(house),
        records=house.home / "serving" / "requests.sqlite",
        pseudonyms=house.keys / "pseudonyms",
        exchange=exchange,
        recorder=_recorder(house),
        caps=Caps(context_tokens=endpoint.engine.max_length, media_domains=endpoint.engine.media_domains),
        rates=_rates(endpoint),
        retention=Retention(text_days=endpoint.records.text_days, row_days=endpoint.records.days),
        keeps_text=endpoint.records.text,
        redact=redaction(endpoint.records.redaction).open(),
        shadows=ShadowBudget(endpoint.shadow.tokens_per_minute, endpoint.shadow.at_once),
        canary=CanarySettings(Steering(house, judged_by(endpoint)), status_file(house)),
        judge=judge_settings(endpoint),
        telemetry=_telemetry(endpoint),
        webhook=endpoint.alerts.webhook,
        is_vllm=is_vllm,
        most_in_flight=endpoint.most_in_flight,
        most_bytes=endpoint.most_memory_mib * MIB,
    )


def _run(house: House, endpoint: Endpoint, exchange: Exchange, host: str, port: int, is_vllm: bool) -> None:
    app = build_gateway(gateway_settings(house, endpoint, exchange, is_vllm))
    app.mount(CONSOLE, build_console(house))  # answers to this machine's own names only
    server = gateway_server(app, host, port)
    # uvicorn ends in order, then raises the signal that it was ended by.
    with _confirming(house), contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()


def _telemetry(endpoint: Endpoint) -> TelemetrySettings | None:
    """Who else is told of requests. Raises BadInput when Langfuse's secret key is not where the config says."""
    chosen, langfuse = endpoint.telemetry, endpoint.telemetry.langfuse
    if langfuse is None:
        return TelemetrySettings(chosen.otlp_url) if chosen.otlp_url is not None else None
    secret = os.environ.get(langfuse.secret_key_variable)
    if not secret:
        raise BadInput(
            f"the variable {langfuse.secret_key_variable} is empty; expected the Langfuse project's secret key"
        )
    return TelemetrySettings(chosen.otlp_url, LangfuseSettings(langfuse.url, langfuse.public_key, secret))


def _granted(snapshot: Snapshot) -> list[Grant]:
    """The versions that routes name; all of one base."""
    granted = snapshot.grant_by_subject()
    named = [part for route in snapshot.routes for part in (route.champion, route.canary, route.shadow) if part]
    grants = [granted[subject] for subject in dict.fromkeys(named)]
    bases = sorted({grant.base for grant in grants})
    if not grants:
        raise BadInput("no route points to a release, so nothing may answer; expected one from 'tunegate release'")
    if len(bases) > 1:
        raise BadInput(
            f"the routes need {len(bases)} bases ({', '.join(bases)}); one endpoint serves one; kill a route"
        )
    return grants


def _replica(house: House, endpoint: Endpoint, grants: list[Grant]) -> ReplicaSettings:
    from finetune.limits import served_rank

    engine = endpoint.engine
    return ReplicaSettings(
        store=house.store_url,
        base=grants[0].base,
        public=_public(house),
        cache=str(house.home / "serving"),
        host="127.0.0.1" if house.address is None else None,
        engine=EngineSettings(
            max_length=engine.max_length,
            max_sequences=engine.max_sequences,
            max_adapters=engine.max_adapters,
            max_rank=max(served_rank(grant.rank) for grant in grants),
            dtype=engine.dtype,
            tensor_parallel=engine.tensor_parallel,
            memory_share=engine.memory_share,
            kv_cache_gib=engine.kv_cache_gib,
            compiled=engine.compiled,
            tool_parser=engine.tool_parser,
            media_domains=engine.media_domains,
        ),
    )


def _scale(endpoint: Endpoint) -> Scale:
    scale = endpoint.scale
    return Scale(
        replicas=scale.replicas,
        cpus=scale.cpus_per_replica,
        gpus=scale.gpus_per_replica,
        most=scale.max_replicas or scale.replicas,
        target=scale.target_in_flight,
    )


def _rates(endpoint: Endpoint) -> RateCard:
    cards = {
        name: Rate(round(rate.prompt * MILLION), round(rate.output * MILLION)) for name, rate in endpoint.rates.items()
    }
    return RateCard(default=cards.pop(DEFAULT_RATE, Rate()), by_alias=cards)


def _tell_unused_rates(endpoint: Endpoint, snapshot: Snapshot) -> None:
    """Say which rates count for nothing: a route may come later, but a mistyped one would leave its budget unspent."""
    routes = sorted(route.alias for route in snapshot.routes)
    unused = sorted(endpoint.rates.keys() - {DEFAULT_RATE, *routes})
    if unused:
        there = ", ".join(routes) or "none"
        log.warning("rates for %s: no release answers there yet; routes there are: %s", ", ".join(unused), there)


def _recorder(house: House) -> Any:
    def record(kind: str, body: dict[str, Any]) -> None:
        house.ledger.append(kind, body)
        house.ledger.checkpoint()

    return record


def _public(house: House) -> bytes:
    return parse_public_key(house.public_key)


@contextmanager
def _confirming(house: House) -> Iterator[None]:
    """Look at the ledger every few seconds; while it is away, the snapshot's file ages."""
    stop = threading.Event()

    def confirm() -> None:
        while not stop.wait(CONFIRM_SECONDS):
            try:
                publish(house)
            except TunegateError as error:
                log.warning("the ledger could not confirm what may answer: %s", str(error).partition("\n")[0])

    thread = threading.Thread(target=confirm, name="confirming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
