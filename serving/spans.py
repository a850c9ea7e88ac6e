"""The one file that knows OpenTelemetry's SDK: spans made after the fact, and the collectors they go to."""

from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode

from serving.told import TelemetrySettings, Told, attributes

ID_DIGITS = 32
SERVER_FAULTS = 500


class RequestIds(RandomIdGenerator):
    """Gives a trace the id of its request; used by one thread."""

    next_trace = 0

    def generate_trace_id(self) -> int:
        """The id that was set before."""
        return self.next_trace


class Spans:
    """A provider of our own (the process's global one is left alone), with a batch processor for each collector."""

    def __init__(self, settings: TelemetrySettings):
        self._ids = RequestIds()
        self._langfuse: Any = None
        resource = Resource.create({"service.name": "tunegate-gateway"})
        self._provider = TracerProvider(id_generator=self._ids, resource=resource, shutdown_on_exit=False)
        if settings.otlp_url is not None:
            self._add_otlp(settings.otlp_url)
        if settings.langfuse is not None:
            from langfuse import Langfuse

            chosen = settings.langfuse
            self._langfuse = Langfuse(
                public_key=chosen.public_key,
                secret_key=chosen.secret_key,
                base_url=chosen.url,
                tracer_provider=self._provider,
            )
        self._tracer = self._provider.get_tracer("tunegate")

    def make(self, told: Told) -> None:
        """Hand over one request's span."""
        row = told.row
        self._ids.next_trace = int(row["id"][-ID_DIGITS:], 16)
        begun = row["at"] * 1_000_000
        span = self._tracer.start_span(
            f"{row['operation']} {row['alias']}",
            kind=SpanKind.SERVER,
            start_time=begun,
            attributes=attributes(told),
        )
        if row["status"] >= SERVER_FAULTS:
            span.set_status(Status(StatusCode.ERROR, row["code"]))
        span.end(begun + row["total_us"] * 1_000)

    def close(self, seconds: float) -> None:
        """Send what waits, and end; a collector that is away is not waited for longer."""
        self._provider.force_flush(int(seconds * 1000))
        self._provider.shutdown()
        if self._langfuse is not None:
            self._langfuse.shutdown()

    def _add_otlp(self, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter: Any = OTLPSpanExporter(endpoint=url, timeout=2)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
