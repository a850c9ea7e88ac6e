"""From settings to the ASGI app: the parts made, joined, started and ended in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from serving.alerts import Alerts
from serving.analysis import CanaryAnalysis
from serving.batch.worker import Batches
from serving.desk import Desk
from serving.gateway import Gateway
from serving.inflight import InFlight
from serving.judging import Judging
from serving.live import Live
from serving.metrics import Metrics
from serving.pseudonyms import Pseudonyms
from serving.quota import Accounts
from serving.records import Records
from serving.replicas import Replicas
from serving.replies import ERRORS
from serving.sealing import Sealer
from serving.settings import GatewaySettings
from serving.shadow import Shadows
from serving.tables import Tables
from serving.telemetry import Telemetry
from serving.upstream import Upstream
from serving.view import View

AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


async def lasting(watch: Callable[[], Awaitable[None]]) -> None:
    """Watch for ever, and begin again after any fault: a gateway that stops looking would not hear of a revocation."""
    while True:
        try:
            await watch()
        except Exception as error:
            log.error("what the gateway does beside answering failed and is begun again: %s", type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)


def build_gateway(settings: GatewaySettings) -> Starlette:
    """The gateway as an ASGI app; `app.state.desk` holds its parts. Raises StoreFault without records."""
    tables = Tables(settings.records)
    records = Records(tables)
    judge = settings.judge
    desk = Desk(
        settings=settings,
        live=Live(settings.snapshot, settings.public_raw),
        accounts=Accounts(records.spent()),
        replicas=Replicas(settings.exchange),
        upstream=Upstream(),
        inflight=InFlight(settings.most_in_flight, settings.most_bytes),
        pseudonyms=Pseudonyms(settings.pseudonyms),
        records=records,
        metrics=Metrics(),
        telemetry=Telemetry(settings.telemetry, tables) if settings.telemetry is not None else None,
        alerts=Alerts(settings.webhook) if settings.webhook is not None else None,
        judging=Judging(judge, records, settings.redact) if judge is not None else None,
    )
    shadows = Shadows(desk)
    batches = Batches(desk, tables, settings.records.parent / "files")
    sealer = Sealer(tables, settings.recorder, settings.retention, settings.seal_seconds)

    def on_change(view: View) -> None:
        desk.inflight.apply(view)
        desk.pseudonyms.follow(view)
        desk.replicas.hurry()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desk.live.on_change(on_change)
        desk.live.look()
        await desk.upstream.open()
        records.start()
        sealer.start()
        beside = [part for part in (desk.judging, desk.telemetry, desk.alerts) if part is not None]
        for part in beside:
            part.start()
        watches: list[Callable[[], Awaitable[None]]] = [
            desk.live.watch,
            lambda: desk.replicas.watch(lambda: desk.live.data),
            lambda: desk.inflight.watch(settings.stall_seconds),
            batches.work,
        ]
        if settings.canary is not None:
            watches.append(CanaryAnalysis(settings.canary, tables, desk.metrics, desk.live, desk.alerts).work)
        tasks = [asyncio.create_task(lasting(watch)) for watch in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await shadows.close()
            await desk.upstream.close()
            if desk.judging is not None:
                await asyncio.to_thread(desk.judging.close)
            await asyncio.to_thread(records.close)
            await asyncio.to_thread(sealer.close)
            for teller in (desk.telemetry, desk.alerts):
                if teller is not None:
                    await asyncio.to_thread(teller.close)
            tables.close()

    app = Starlette(routes=Gateway(desk, shadows, batches).routes(), exception_handlers=ERRORS, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.desk = desk
    return app
