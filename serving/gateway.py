"""The gateway's paths. Those that a model answers are in `serving.inference`; these are the small ones around them."""

import asyncio
import time
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.batch.paths import BatchPaths
from serving.batch.worker import Batches
from serving.desk import Desk
from serving.endpoints import ENDPOINTS
from serving.errors import Refusal, model_not_found
from serving.feedback import parse_feedback
from serving.inference import Inference, read_small
from serving.keys import authorization, require
from serving.metrics import CONTENT_TYPE
from serving.records import keep
from serving.replies import told
from serving.shadow import Shadows
from serving.view import Key, View
from tunegate_core.errors import NotFound


class Gateway:
    """The handlers of the small paths, and the list of all."""

    def __init__(self, desk: Desk, shadows: Shadows, batches: Batches):
        self._desk, self._shadows, self._batches = desk, shadows, batches

    def routes(self) -> list[Route]:
        """Every path."""
        asked = [Route(e.path, Inference(self._desk, e, self._shadows), methods=["POST"]) for e in ENDPOINTS]
        return [
            *asked,
            *BatchPaths(self._desk, self._batches).routes(),
            Route("/v1/models", self.models),
            Route("/v1/models/{model}", self.model),
            Route("/v1/feedback", self.feedback, methods=["POST"]),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def models(self, request: Request) -> Response:
        """The routes that this key may call."""
        view, key = self._desk.caller(authorization(request.scope["headers"]))
        return told({"object": "list", "data": [card(alias) for alias in callable_by(key, view)]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        view, key = self._desk.caller(authorization(request.scope["headers"]))
        alias = request.path_params["model"]
        if alias not in callable_by(key, view):
            raise model_not_found()
        return told(card(alias))

    async def feedback(self, request: Request) -> Response:
        """Attach feedback to an answer that was given to this key, or to any for an admin."""
        _, key = self._desk.caller(authorization(request.scope["headers"]))
        require(key, "feedback")
        settings, records = self._desk.settings, self._desk.records
        self._desk.account(key).admit(time.monotonic())
        said = parse_feedback(await read_small(self._desk, request))
        at = time.time_ns() // 1_000_000
        text = await asyncio.to_thread(keep, at, said.texts, settings.redact) if said.texts else None
        marks = {"thumb": said.thumb, "rating": said.rating, "score": said.score}
        row = {"request": said.response_id, "at": at, "key_id": key.key_id, **marks}
        try:
            owner = await asyncio.to_thread(records.key_of, said.response_id)
            if owner not in key.family and "admin" not in key.scopes:
                raise NotFound("it is another's")
            await asyncio.to_thread(records.attach, row | {"text": text.hash if text else None}, text)
        except NotFound:
            message = "There is no such answer, or it was not given to this API key."
            raise Refusal(404, "response_not_found", message, param="response_id") from None
        return told({"object": "feedback", "response_id": said.response_id}, 201)

    async def livez(self, _: Request) -> Response:
        """The process answers."""
        return told({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """Whether every routed version has answered a probe on every engine."""
        lacking = self.lacking()
        return told({"status": "not ready" if lacking else "ok", "lacking": lacking}, 503 if lacking else 200)

    async def metrics(self, request: Request) -> Response:
        """Prometheus' page: for this machine, or a key with the scope `read`."""
        if not is_local(request):
            require(self._desk.caller(authorization(request.scope["headers"]))[1], "read", "admin")
        desk = self._desk
        values = {
            "tunegate_in_flight": len(desk.inflight),
            "tunegate_in_flight_bytes": desk.inflight.held,
            "tunegate_engines": sum(engine.is_there for engine in desk.replicas.known),
            "tunegate_snapshot_epoch": desk.live.view.epoch if desk.live.view else 0,
            "tunegate_snapshot_age_seconds": desk.live.age(),
            "tunegate_snapshots_not_taken": desk.live.refused,
            "tunegate_records_pending": desk.records.pending,
            "tunegate_records_lost": desk.records.lost,
            "tunegate_texts_lost": desk.records.texts_lost,
            "tunegate_record_faults": desk.records.faults,
            "tunegate_spans_lost": desk.telemetry.lost if desk.telemetry is not None else 0,
            "tunegate_canaries_held": len(desk.live.held),
            "tunegate_judge_scores": desk.judging.scored if desk.judging is not None else 0,
            "tunegate_judge_pending": desk.judging.pending if desk.judging is not None else 0,
            "tunegate_judge_lost": desk.judging.lost if desk.judging is not None else 0,
            "tunegate_alerts_pending": desk.alerts.pending if desk.alerts is not None else 0,
            "tunegate_alerts_lost": desk.alerts.lost if desk.alerts is not None else 0,
        }
        return Response(desk.metrics.page(values), media_type=CONTENT_TYPE)

    def lacking(self) -> list[str]:
        """What is not ready, in words that name no secret."""
        desk = self._desk
        if desk.live.view is None:
            return ["no verified snapshot"]
        if desk.live.is_too_old():
            return ["the snapshot is too old"]
        if not desk.replicas.known:
            return ["no engine"]
        wanted, engines = desk.live.view.wanted(), desk.replicas.known
        said = []
        for number, engine in enumerate(engines, start=1):
            lack = len(wanted - engine.ready)
            if not engine.is_there:
                said.append(f"engine {number} of {len(engines)} does not answer")
            elif lack:
                said.append(f"engine {number} of {len(engines)} lacks {lack} of the {len(wanted)} routed versions")
        return said


def callable_by(key: Key, view: View) -> list[str]:
    """The routes that answer this key now."""
    return sorted(
        alias
        for alias, route in view.routes.items()
        if key.may_call(alias) and route.champion is not None and not route.killed
    )


def card(alias: str) -> dict[str, Any]:
    """A model as OpenAI lists it."""
    return {"id": alias, "object": "model", "created": 0, "owned_by": "tunegate"}


def is_local(request: Request) -> bool:
    """Whether the caller is on this machine (a proxy on it is looked through by the server)."""
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
