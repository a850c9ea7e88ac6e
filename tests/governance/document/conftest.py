"""A candidate told by events with everything recorded, and ways to leave things out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from governance.document.held import Held
from governance.document.model import Head
from governance.judge import judge
from governance.keys import SigningKey, load_or_create
from governance.ledger.event import Event
from governance.lifecycle import Judged, Planned, decided, replay
from governance.policy import ApprovalRule, Policy
from tunegate_core.canonical import digest_json
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.records import (
    AdapterRecord,
    ArmStatistics,
    BaseModelRecord,
    Cluster,
    DatasetRecord,
    Environment,
    Evidence,
    GroupStatistics,
    Overlap,
    PairedStatistics,
    Robustness,
    RowCounts,
    TrainingRecord,
)
from tunegate_core.store import Tree, TreeFile

ROUTE = "support"
POLICY = Policy(
    name="p",
    checks=(
        {"id": "better", "kind": "superior", "task": "facts", "margin": 0.0},
        {"id": "seen", "kind": "measured", "task": "facts"},
    ),
)
CONFIG: dict[str, Any] = {
    "finetune": {
        "data": {
            "form": "chat",
            "split": "train",
            "over_long": "drop",
            "duplicates": "drop",
            "near_duplicates": "keep",
        },
        "lora": {"rank": 8, "targets": "all-linear", "rslora": True},
        "train": {"learning_rate": 0.0002, "steps": None, "seed": 17},
        "parallel": {"workers": 1},
    },
    "eval": {"tasks": [{"name": "facts", "metric": "acc"}]},
    "serving": {
        "canary": {
            "needed": ["errors"],
            "watched": ["itl"],
            "stages": [{"percent": 10.0}],
            "alpha": 0.05,
            "tolerance": 0.1,
        }
    },
}
Make = Callable[..., Held]


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


class Story:
    """Events of one candidate, numbered in order."""

    def __init__(self, reviewer: SigningKey, first: int):
        self.reviewer, self.first = reviewer, first
        self.events: list[Event] = []
        self.around: list[Event] = []

    def add(self, kind: str, body: dict[str, Any], subject: str | None, around: bool = False) -> None:
        seq = self.first + len(self.events) + len(self.around)
        event = Event(
            seq=seq, at=f"2026-01-01T00:00:{seq:02d}.000000Z", kind=kind, subject=subject, actor="5" * 16, body=body
        )
        (self.around if around else self.events).append(event)


def base(**changes: Any) -> BaseModelRecord:
    fields: dict[str, Any] = {
        "source": "pkg://m@1", "tree": digest("b"), "template": digest("c"), "architecture": "LlamaForCausalLM",
        "parameters": 1234, "vocabulary": 99, "hidden_size": 64, "licence": "apache-2.0",
    }  # fmt: skip
    return BaseModelRecord(**{**fields, **changes})


def dataset(**changes: Any) -> DatasetRecord:
    counts = RowCounts(
        read=20, kept=15, truncated=1, empty=2, over_long=1, duplicate=1, near_duplicate=3, overlapping_items=4,
        unsupervised=1,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "source": "train.jsonl", "revision": None, "rows": "rows:" + "d" * 64, "lineage": digest("d"),
        "counts": counts, "tokens": 4321, "supervised_tokens": 777,
    }  # fmt: skip
    return DatasetRecord(**{**fields, **changes})


def grouped(scores: list[tuple[int, int]], adapter: str) -> tuple[GroupStatistics, ...]:
    """Every second item is of the group `old`, the others of `young`."""
    found = []
    for value, start in (("old", 0), ("young", 1)):
        numbers = tuple(range(start, len(scores), 2))
        own, other = (tuple((1, float(scores[n][at]), float(scores[n][at])) for n in numbers) for at in (0, 1))
        arms = (
            ArmStatistics(arm="candidate", subject=adapter, clusters=own),
            ArmStatistics(arm="base", subject=digest("b"), clusters=other),
        )
        found.append(GroupStatistics(column="age", value=value, n=len(numbers), clusters=numbers, arms=arms, pairs=()))
    return tuple(found)


def measured(counts: tuple[int, int, int], adapter: str, unmeasured: dict[str, int], groups: bool = False) -> Evidence:
    gained, lost, same = counts
    scores = [(1, 0)] * gained + [(0, 1)] * lost + [(1, 1)] * same
    clusters = tuple(
        Cluster(n=1, candidate=c, reference=r, cross=c * r, candidate_sq=c, reference_sq=r) for c, r in scores
    )
    own, other = (tuple((1, float(pair[at]), float(pair[at])) for pair in scores) for at in (0, 1))
    return Evidence(
        task="facts", metric="acc", scale="binary", items=digest("0"), settings=digest("5"), n=len(scores),
        arms=(
            ArmStatistics(arm="candidate", subject=adapter, clusters=own, unmeasured=unmeasured),
            ArmStatistics(arm="base", subject=digest("b"), clusters=other),
        ),
        pairs=(
            PairedStatistics(
                reference="base", reference_subject=digest("b"), clusters=clusters, unmeasured=sum(unmeasured.values())
            ),
        ),
        samples=digest("7"),
        groups=grouped(scores, adapter) if groups else (),
        overlap=Overlap(exact=1, within=2, near=3, rows=21),
        robustness=(
            Robustness(
                arm="candidate", against="plain", clusters=clusters, unmeasured=2,
                same=tuple((cluster.n, float(cluster.n), float(cluster.n)) for cluster in clusters),
            ),
        ),
    )  # fmt: skip


@pytest.fixture(scope="session")
def reviewer(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create(tmp_path_factory.mktemp("keys"), "reviewer")


@pytest.fixture(scope="session")
def make(reviewer: SigningKey) -> Make:
    """`make(...)` is a released candidate with everything recorded; arguments change or leave out parts."""

    def build(
        upto: str = "released",
        version: int = 1,
        first: int = 0,
        counts: tuple[int, int, int] = (40, 5, 55),
        unmeasured: dict[str, int] | None = None,
        config: dict[str, Any] = CONFIG,
        groups: bool = False,
        **planned: Any,
    ) -> Held:
        story = Story(reviewer, first)
        subject, tree = f"bot@{version}", digest("a")
        fields: dict[str, Any] = {
            "name": "bot", "version": version, "route": ROUTE, "run": digest_json([version]), "starter": "5" * 16,
            "config": digest_json(config), "base": base(), "data": dataset(), "policy": POLICY.digest(),
            "margins": POLICY.margins(), "approvals": ApprovalRule(), "champion": None, "source_adapter": None,
            "items": {"facts": {"digest": digest("0"), "n": 100, "metric": "acc", "clusters": 100}}, "attempt": 2,
        }  # fmt: skip
        plan = Planned(**{**fields, **planned})
        held = {"head": Head(size=99, root="e" * 64), "config": config, "policy": POLICY}
        story.add("planned", plan.model_dump(mode="json"), subject)
        if upto == "planned":
            return Held(events=story.events, around=(), **held)
        environment = Environment(
            python="3.11.7", packages={"torch": "2.13.0", "peft": "0.21.2"}, machine="Linux", cpu_count=2,
            memory_bytes=2**34, git_commit="f" * 40, git_dirty=False,
        )  # fmt: skip
        training = TrainingRecord(
            steps=10, rows_per_step=8, supervised_tokens=777, first_loss=3.5, final_loss=2.25, packing=True,
            precision="bfloat16", workers=1, strategy="none", trained_parameters=555,
        )  # fmt: skip
        if plan.source_adapter is None:
            body = {"training": training.model_dump(mode="json"), "output": digest("1")}
            story.add("trained", {**body, "environment": environment.digest()}, subject)
        adapter = AdapterRecord(
            tree=tree, base=plan.base.tree, template=plan.base.template, config=plan.config, rank=8,
            target_modules=("q_proj",), parameters=555,
        )  # fmt: skip
        story.add("sealed", {"adapter": adapter.model_dump(mode="json")}, subject)
        evidence = measured(counts, tree, unmeasured or {}, groups)
        verdict = judge(POLICY, tree, [evidence], plan.attempt, None)
        story.add("examined", {"evidence": [evidence.digest()]}, subject)
        story.add("judged", {"verdict": verdict.digest(), "outcome": verdict.outcome}, subject)
        if verdict.outcome == "PASS" and upto == "released":
            finish(story, subject, verdict.digest())
        return Held(
            events=story.events,
            around=story.around,
            environment=None if plan.source_adapter else environment,
            evidence=[evidence],
            verdict=verdict,
            manifest=Tree(files=(TreeFile(path="adapter_model.safetensors", size=10, sha256=digest("9")),)),
            **held,
        )

    return build


def finish(story: Story, subject: str, verdict: str) -> None:
    """Approve and release, and put it on its route."""
    key = story.reviewer
    story.add("key-created", {"key_id": key.key_id, "public": key.public_pem.decode()}, None, around=True)
    state = replay(story.events)
    assert isinstance(state, Judged)
    draft = SignedDecision(
        approver=key.key_id, public_key=key.public_pem.decode(), decision="approve", reason="rows:" + "8" * 64,
        expires="2026-01-31T00:00:00+00:00", signature="",
    )  # fmt: skip
    signed = draft.model_copy(update={"signature": key.sign(decided(state).payload(draft)).hex()})
    story.add("approval", signed.model_dump(mode="json"), subject)
    story.add("approved", {"verdict": verdict}, subject)
    story.add("released", {"statement": digest("6"), "route": ROUTE}, subject)
    body = {"version": subject, "place": "champion", "share_bp": 10000, "reason": None, "analysis": None}
    story.add("route-promoted", body, ROUTE, around=True)


@pytest.fixture(scope="session")
def whole(make: Make) -> Held:
    """Everything recorded, with an earlier release to compare with."""
    later = make(version=2, first=20, config={**CONFIG, "seed": 18}, counts=(60, 4, 36))
    return replace(later, other=make())
