"""What Prometheus is told. Labels are routes, versions and codes: never a user, a key, or a name from a request.

The names of the first four follow OpenTelemetry's GenAI metrics in Prometheus' spelling.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving.call import Call
from serving.canary.decision import Decision
from serving.canary.stage import Stage

CONTENT_TYPE = CONTENT_TYPE_LATEST
LABELS = ("alias", "version")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
ADDED = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 1)


GAUGES = {
    "tunegate_in_flight": "Requests being answered",
    "tunegate_in_flight_bytes": "Memory that they hold, as it is weighed",
    "tunegate_engines": "Engines known",
    "tunegate_snapshot_epoch": "Epoch of the snapshot in force",
    "tunegate_snapshot_age_seconds": "Since the snapshot was last confirmed",
    "tunegate_snapshots_not_taken": "Snapshots that did not verify",
    "tunegate_records_pending": "Request records that wait for the disk",
    "tunegate_records_lost": "Request records that were lost because the disk was away for too long",
    "tunegate_texts_lost": "Texts that were to be kept and are not, because too much waited or nothing redacted them",
    "tunegate_spans_lost": "Spans that were dropped before they could be sent",
    "tunegate_record_faults": "Times that request records could not be written",
    "tunegate_canaries_held": "Canaries found worse that get nobody, and that the ledger has not taken back yet",
    "tunegate_judge_scores": "Answers that the judge has scored",
    "tunegate_judge_pending": "Answers that wait for the judge",
    "tunegate_judge_lost": "Answers drawn for the judge that have no score: too many, too long, or it did not tell",
    "tunegate_alerts_pending": "Alerts that the webhook has not taken yet",
    "tunegate_alerts_lost": "Alerts that the webhook never took",
}


class Metrics:
    """One registry a gateway."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.duration = Histogram(
            "gen_ai_server_request_duration_seconds", "Whole requests", LABELS, buckets=SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds", "First tokens", LABELS, buckets=SECONDS, registry=registry
        )
        self.per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds", "Mean between", LABELS, buckets=SHORT, registry=registry
        )
        usage = (*LABELS, "gen_ai_token_type")
        self.tokens = Counter("gen_ai_client_token_usage", "Tokens used", usage, registry=registry)
        ends = (*LABELS, "arm", "code")
        self.requests = Counter("tunegate_requests", "Requests, by how they ended", ends, registry=registry)
        self.refused = Counter("tunegate_refused", "Refused before a version was chosen", ("code",), registry=registry)
        self.cost = Counter("tunegate_cost_micros", "By the rate card, in millionths", LABELS, registry=registry)
        self.added = Histogram(
            "tunegate_gateway_added_seconds", "In the gateway until an answer began", buckets=ADDED, registry=registry
        )
        self.decided = Counter(
            "tunegate_canary_decisions", "What canaries were found", (*LABELS, "action"), registry=registry
        )
        self.evidence = Gauge(
            "tunegate_canary_evidence", "Against a canary, of 1 that is enough", (*LABELS, "guard"), registry=registry
        )
        self.samples = Gauge("tunegate_canary_samples", "Callers seen", (*LABELS, "guard", "arm"), registry=registry)
        self.gauges = {name: Gauge(name, what, registry=registry) for name, what in GAUGES.items()}

    def ended(self, call: Call) -> None:
        """A request for which a version was chosen has ended."""
        decision = call.decision
        labels = (decision.alias, decision.subject)
        self.requests.labels(*labels, decision.arm, call.code or "ok").inc()
        self.duration.labels(*labels).observe(call.total())
        if (first := call.to_first_token()) is not None:
            self.first_token.labels(*labels).observe(first)
        if (between := call.between_tokens()) is not None:
            self.per_token.labels(*labels).observe(between)
        self.tokens.labels(*labels, "input").inc(call.used.prompt)
        self.tokens.labels(*labels, "output").inc(call.used.output)
        self.cost.labels(*labels).inc(call.used.micros)
        if (added := call.added()) is not None:
            self.added.observe(added)

    def canary_began(self, stage: Stage) -> None:
        """A canary is watched: its counters are there before anything is counted, so that the first is a rise."""
        for action in ("advance", "pause", "rollback"):
            self.decided.labels(stage.alias, stage.canary, action)

    def canary_seen(self, stage: Stage, decision: Decision) -> None:
        """How far a stage is."""
        for figure in decision.figures:
            labels = (stage.alias, stage.canary, figure.guard)
            self.evidence.labels(*labels).set(figure.evidence / figure.enough)
            self.samples.labels(*labels, "canary").set(figure.canary.n)
            self.samples.labels(*labels, "champion").set(figure.champion.n)

    def canary_decided(self, stage: Stage, decision: Decision) -> None:
        """It advances, waits for a person, or is rolled back."""
        self.decided.labels(stage.alias, stage.canary, decision.action).inc()

    def canary_ended(self, stage: Stage) -> None:
        """A stage is over, and its gauges with it; what was counted stays."""
        labels = {"alias": stage.alias, "version": stage.canary}
        self.evidence.remove_by_labels(labels)
        self.samples.remove_by_labels(labels)

    def page(self, values: Mapping[str, float]) -> bytes:
        """The text that Prometheus reads, with the gauges as they are now."""
        for name, value in values.items():
            self.gauges[name].set(value)
        return generate_latest(self.registry)
