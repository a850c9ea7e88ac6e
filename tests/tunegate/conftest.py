"""One real release for all tests of the story: the starter project, trained, judged and released once a session.

For what needs no training: a home whose candidates are told by events alone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.lifecycle import Planned
from governance.policy import ApprovalRule, Policy
from tunegate import steps
from tunegate.house import House
from tunegate.recording import append, record_once
from tunegate_core.records import AdapterRecord, ArmStatistics, BaseModelRecord, Cluster, Evidence, PairedStatistics

Run = subprocess.CompletedProcess[str]
Command = Callable[..., Run]


def run_tunegate(home: Path, *args: object, **env: str) -> Run:
    """The command line in a process of its own."""
    settings = {key: value for key, value in os.environ.items() if not key.startswith("TUNEGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "tunegate", *map(str, args)],
        capture_output=True,
        text=True,
        env={**settings, "TUNEGATE_HOME": str(home), "HF_HUB_OFFLINE": "1", **env},
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="session")
def command() -> Command:
    """`command(home, *args, **env)` runs the command line."""
    return run_tunegate


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`verb(home, *args)` runs the command line in this process: ten times as soon, and what it raises is raised."""

    def run(home: Path, *args: object) -> Run:
        from tunegate.cli import main

        for name in [name for name in os.environ if name.startswith("TUNEGATE_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TUNEGATE_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["tunegate", *map(str, args)])
        at_end, _ = signal.getsignal(signal.SIGTERM), capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGTERM, at_end)
        told = capsys.readouterr()
        return Run(sys.argv, int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture(scope="session")
def value(command: Command) -> Callable[..., Any]:
    """`value(home, *args)` is the JSON that a reading verb prints."""

    def read(home: Path, *args: object) -> Any:
        done = command(home, *args, "--json")
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tunegate init` writes, with one approval asked for."""
    folder = tmp_path_factory.mktemp("project")
    done = run_tunegate(folder / "unused-home", "init", folder / "starter")
    if done.returncode:
        raise RuntimeError(done.stderr)
    policy = folder / "starter" / "policy.yaml"
    policy.write_text(policy.read_text().replace("required: 0", "required: 1"))
    return folder / "starter"


@pytest.fixture(scope="session")
def released_home(project: Path, smollm: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which starter@1 was trained for real, judged, approved by a second key and released. Never changed."""
    home = Path(shutil.copytree(smollm["home"], tmp_path_factory.mktemp("released") / "home"))
    done = run_tunegate(home, "release", project / "config.yaml")
    if done.returncode != 5:
        raise RuntimeError(f"expected to wait for approval (5), got {done.returncode}:\n{done.stdout}\n{done.stderr}")
    approval = ["approve", "starter@1", "--as", "reviewer", "--reason", "looks right"]
    for args in (["keys", "create", "reviewer"], approval):
        done = run_tunegate(home, *args)
        if done.returncode:
            raise RuntimeError(done.stderr)
    return home


@pytest.fixture(scope="session")
def folders(released_home: Path) -> tuple[Path, Path]:
    """The verified base and adapter of starter@1."""
    from finetune.base import open_base
    from tunegate.house import House
    from tunegate.recording import standing
    from tunegate.steps import adapter_folder

    house = House(released_home, f"sqlite:///{released_home / 'ledger.sqlite'}")
    now = standing(house, "starter@1")
    base = open_base(now.planned.base, house.store, house.cache)
    adapter = adapter_folder(house, now.adapter)
    house.ledger.close()
    return base, adapter


@pytest.fixture(scope="session")
def questions(project: Path) -> list[dict[str, Any]]:
    """The held-out questions."""
    return [json.loads(line) for line in (project / "questions.jsonl").read_text().splitlines()]


@pytest.fixture
def released(released_home: Path, tmp_path: Path) -> Path:
    """A copy of that home, to do with as a test likes."""
    return Path(shutil.copytree(released_home, tmp_path / "copied"))


POLICY = Policy(
    name="told",
    checks=(
        {"id": "better", "kind": "superior", "task": "facts", "margin": 0.0},
        {"id": "keeps-up", "kind": "non-inferior", "task": "facts", "against": "champion", "margin": 0.05},
    ),
)
CLEAR_GAIN, CLEAR_HARM, TOO_FEW = (60, 4, 200), (4, 60, 200), (3, 2, 20)


class Told:
    """Candidates of the route `bot` that were sealed, examined and judged without a model.

    `house`: where; `serving`: what the next one's config says of serving.
    """

    def __init__(self, home: Path, folder: Path):
        self.serving: dict[str, Any] = {}
        self.house, self.folder = House(home, f"sqlite:///{home / 'ledger.sqlite'}"), folder
        self.base = BaseModelRecord(
            source="folder", tree=self.tree("base"), template="sha256:" + "e" * 64, architecture="LlamaForCausalLM",
            parameters=1, vocabulary=1, hidden_size=1,
        )  # fmt: skip

    def tree(self, name: str) -> str:
        """A folder of one file in the store."""
        (self.folder / name).mkdir()
        (self.folder / name / "file.txt").write_text(name)
        return str(self.house.store.put_tree(self.folder / name))

    def plan(
        self,
        version: int,
        champion: str | None = None,
        approvals: int | ApprovalRule = 0,
        name: str = "bot",
        starter: str = "0" * 16,
    ) -> Planned:
        """Record a plan that judges an existing adapter; so many people must approve, or as the rule says. `name` is
        its route too, `starter` the key that began it."""
        store = self.house.store
        rule = ApprovalRule(required=approvals) if isinstance(approvals, int) else approvals
        items = {"facts": {"digest": "sha256:" + "0" * 64, "metric": "acc", "n": 264, "clusters": 264}}
        planned = Planned(
            name=name, version=version, route=name, run=f"run-{name}-{version}", starter=starter,
            config=store.put_json({"eval": {"tasks": [], "batch_size": 1}, "serving": self.serving}), base=self.base,
            data=None, policy=store.put(POLICY.model_copy(update={"approvals": rule}).canonical()),
            margins=POLICY.margins(),
            approvals=rule,
            items=items, champion=champion, source_adapter="elsewhere@1", attempt=version,
        )  # fmt: skip
        with self.house.ledger.write() as tx:
            append(
                self.house, tx, planned.subject, "planned", planned.model_dump(mode="json"), f"plan/{planned.subject}"
            )
        return planned

    def judge(self, planned: Planned, counts: tuple[int, int, int], champion: str | None = None) -> Evidence:
        """Seal, examine with these items (gained, lost, same), judge and, as far as that allows, release.

        `champion`: the adapter that the evidence says it was compared with.
        """
        adapter = self.adapter(planned)
        evidence = self.evidence(adapter.tree, counts, champion)
        house, blob = self.house, self.house.store.put(evidence.canonical())
        record_once(house, planned.subject, "sealed", lambda: {"adapter": adapter.model_dump(mode="json")})
        record_once(house, planned.subject, "examined", lambda: {"evidence": [blob]})
        steps.judge(house, planned)
        steps.settle(house, planned)
        steps.publish(house, planned)
        return evidence

    def adapter(self, planned: Planned) -> AdapterRecord:
        """An adapter in the store."""
        return AdapterRecord(
            tree=self.tree(planned.subject), base=self.base.tree, template=self.base.template, config=planned.config,
            rank=1, target_modules=("q_proj",), parameters=1,
        )  # fmt: skip

    def evidence(self, adapter: str, counts: tuple[int, int, int], champion: str | None) -> Evidence:
        """What was measured: each item its own cluster; the champion answers as the base."""
        gained, lost, same = counts
        scores = [(1, 0)] * gained + [(0, 1)] * lost + [(1, 1)] * same
        clusters = tuple(
            Cluster(n=1, candidate=c, reference=r, cross=c * r, candidate_sq=c, reference_sq=r) for c, r in scores
        )
        own, other = (tuple((1, float(pair[at]), float(pair[at])) for pair in scores) for at in (0, 1))
        references = [("base", self.base.tree)] + ([("champion", champion)] if champion else [])
        return Evidence(
            task="facts", metric="acc", scale="binary", items="sha256:" + "0" * 64, settings="s", n=len(scores),
            arms=(
                ArmStatistics(arm="candidate", subject=adapter, clusters=own),
                *(ArmStatistics(arm=arm, subject=tree, clusters=other) for arm, tree in references),
            ),
            pairs=tuple(
                PairedStatistics(reference=arm, reference_subject=tree, clusters=clusters, unmeasured=0)
                for arm, tree in references
            ),
            samples=self.house.store.put_json({"of": adapter}),
        )  # fmt: skip


@pytest.fixture
def told(home: Path, tmp_path: Path) -> Told:
    """An empty home to tell candidates in."""
    return Told(home, tmp_path)


@pytest.fixture(scope="session")
def told_once(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Told once a session, to be copied. Never changed."""
    folder = tmp_path_factory.mktemp("told")
    told = Told(folder / "home", folder)
    tell_all(told)
    return told


@pytest.fixture
def told_home(told: Told, told_once: Told) -> Path:
    """A home: bot@1 is released, bot@2 refused, bot@3 undecided, bot@4 waits for approval, bot@5 is only planned."""
    shutil.copytree(told_once.folder, told.folder, dirs_exist_ok=True)
    return told.house.home


def tell_all(told: Told) -> Path:
    """Those five candidates."""
    told.judge(told.plan(1), CLEAR_GAIN)
    champion = told.house.store.put_tree(told.folder / "bot@1")
    told.judge(told.plan(2, "bot@1"), CLEAR_HARM, champion)
    told.judge(told.plan(3, "bot@1"), TOO_FEW, champion)
    told.judge(told.plan(4, "bot@1", approvals=1), CLEAR_GAIN, champion)
    told.plan(5, "bot@1")
    told.house.ledger.close()
    return told.house.home
