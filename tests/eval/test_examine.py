"""The whole examination with a real harness and a tiny real model: paired, resumable, repeatable."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval import examine as subject
from eval.answer import generate
from eval.examine import examine
from eval.items import freeze
from eval.model import Arms
from eval.probe import log_probabilities
from eval.tasks.probes import METRICS
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.records import Evidence
from tunegate_core.store import Store

BASE, ADAPTER = "sha256:" + "b" * 64, "sha256:" + "a" * 64
CHOICES: list[Any] = [
    {
        "id": f"q{n}",
        "question": f"Which number follows {n}?",
        "choices": [f"It is {n + step}." for step in (3, 1, 50)],
        "answer": n % 3,
        "cluster": f"fact-{n // 2}",
    }
    for n in range(9)
]
TEXTS: list[Any] = [{"id": f"t{n}", "question": f"Say {n}.", "answer": str(n)} for n in range(3)]


class Bench:
    """An examination of the tiny adapter against the tiny base that can be run again."""

    def __init__(self, folder: Path, base: Path, adapter: Path, tasks: list[TaskBlock]):
        self.folder, self.base, self.adapter, self.tasks = folder, base, adapter, tasks
        self.store = Store(folder / "store")
        self.stages: list[tuple[str, float, float]] = []

    def __call__(self, **other: Any) -> tuple[Evidence, ...]:
        settings: dict[str, Any] = {
            "tasks": self.tasks,
            "items": freeze(self.tasks),
            "base_folder": self.base,
            "base_tree": BASE,
            "arms": {"base": None, "candidate": self.adapter},
            "subjects": {"base": BASE, "candidate": ADAPTER},
            "store": self.store,
            "cache": self.folder / "cache",
            "batch_size": 4,
            "precision": "float32",
            "progress": lambda stage, done, total, **_: self.stages.append((stage, done, total)),
        }
        return examine(**{**settings, **other})


@pytest.fixture
def bench(tmp_path: Path, questions: Callable[..., Path], tiny_base: Path, tiny_adapter: Path) -> Bench:
    tasks = [
        TaskBlock(name="facts", questions=str(questions(CHOICES, "facts.jsonl"))),
        TaskBlock(name="words", questions=str(questions(TEXTS, "words.jsonl")), metric="exact_match"),
    ]
    return Bench(tmp_path, tiny_base, tiny_adapter, tasks)


def test_evidence_is_paired_and_recounted_from_the_items(bench: Bench) -> None:
    facts, words = bench()
    assert (facts.task, facts.n, facts.scale, facts.metric) == ("facts", 9, "binary", "acc")
    assert [(arm.arm, arm.subject) for arm in facts.arms] == [("candidate", ADAPTER), ("base", BASE)]
    assert [(pair.reference, pair.reference_subject) for pair in facts.pairs] == [("base", BASE)]
    assert facts.items == freeze(bench.tasks)[0].digest
    records = json.loads(bench.store.get(facts.samples))
    rows = records["items"]
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(9)]
    for arm in facts.arms:
        assert sum(c[1] for c in arm.clusters) == sum(row["arms"][arm.arm]["score"] for row in rows)
    for row in rows:
        right = int(row["id"][1:]) % 3
        assert all(told["score"] == float(told["answer"] == right) for told in row["arms"].values())
    assert any(row["arms"]["base"] != row["arms"]["candidate"] for row in rows)
    assert sum(cluster.n for cluster in facts.pairs[0].clusters) == 9
    assert len(facts.pairs[0].clusters) == 5
    assert words.n == 3
    assert words.settings == facts.settings
    assert words.items != facts.items


def test_a_repeat_gives_the_same_evidence(bench: Bench, tmp_path: Path) -> None:
    first = bench()
    assert bench(cache=tmp_path / "other-cache") == first


def test_progress_ends_where_it_should(bench: Bench) -> None:
    bench()
    assert list(bench.stages[0]) == ["evaluate facts: candidate", 0, 9]
    last = {stage: (done, total) for stage, done, total in bench.stages}
    assert last == {
        "evaluate facts: candidate": (9, 9),
        "evaluate facts: base": (9, 9),
        "evaluate words: candidate": (3, 3),
        "evaluate words: base": (3, 3),
    }
    assert all(0 <= done <= total for _, done, total in bench.stages)


def test_a_killed_examination_goes_on_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bench()
    files = sorted((bench.folder / "cache" / "scores").iterdir())
    assert len(files) == 4
    files[1].unlink()
    files[2].write_bytes(files[2].read_bytes()[:-1])  # a file that is cut short counts as missing
    scored = []
    real = subject._Engine.score

    def counted(*parts: Any) -> Any:
        scored.append(parts)
        return real(*parts)

    monkeypatch.setattr(subject._Engine, "score", counted)
    assert bench() == expected
    assert len(scored) == 2


def test_an_evaluation_killed_half_way_scores_no_batch_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval.backends.transformers import Transformers

    real = Transformers.score
    scored: list[Any] = []

    def dying(backend: Any, arm: Any, batch: Any) -> Any:
        if len(scored) == deaths[0]:
            raise KeyboardInterrupt
        scored.append([question.prompt for question in batch])
        return real(backend, arm, batch)

    deaths = [-1]
    monkeypatch.setattr(Transformers, "score", dying)
    expected = bench(cache=bench.folder / "other-cache")
    whole = list(scored)
    scored.clear()
    deaths = [len(whole) - 1]
    with pytest.raises(KeyboardInterrupt):
        bench()
    assert scored == whole[:-1]
    deaths = [-1]
    assert bench() == expected
    assert scored == whole
    assert not list((bench.folder / "cache" / "answers").iterdir())


def test_two_evaluations_at_once_on_one_cache(bench: Bench) -> None:
    from tunegate_core.ports import Progress

    expected = bench(cache=bench.folder / "other-cache")
    inner: list[Any] = []

    def while_running(stage: str, done: float, total: float, **_: float) -> None:
        if not inner and 0 < done < total:
            inner.append(None)  # once
            inner[0] = bench()

    progress: Progress = while_running
    assert bench(progress=progress) == expected
    assert inner == [expected]


def test_finished_scores_need_no_model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bench()
    monkeypatch.setattr(subject, "crew", None)
    assert bench() == expected


@pytest.mark.parametrize(
    "other",
    [
        {"base_tree": "sha256:" + "c" * 64},
        {"subjects": {"base": BASE, "candidate": "sha256:" + "d" * 64}},
        {"batch_size": 5},
        {"precision": "bfloat16"},
        {"backend": "vllm"},
    ],
)
def test_scores_of_something_else_are_not_used(
    bench: Bench, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench()
    real = subject.versions
    monkeypatch.setattr(subject, "versions", lambda backend: real("transformers"))  # whether or not vLLM is installed

    def asked(*_: object) -> Any:
        raise RuntimeError("scored again")

    monkeypatch.setattr(subject, "crew", asked)
    with pytest.raises(RuntimeError, match="scored again"):
        bench(**other)


def test_an_adapter_without_effect_answers_as_the_base(bench: Bench, tiny_base: Path) -> None:
    facts = bench(arms={"base": None, "candidate": None}, subjects={"base": BASE, "candidate": BASE})[0]
    assert facts.arms[0].clusters == facts.arms[1].clusters


def test_a_champion_is_one_more_arm(bench: Bench) -> None:
    arms = {"base": None, "candidate": bench.adapter, "champion": bench.adapter}
    facts = bench(arms=arms, subjects={"base": BASE, "candidate": ADAPTER, "champion": ADAPTER})[0]
    assert [arm.arm for arm in facts.arms] == ["candidate", "base", "champion"]
    assert [pair.reference for pair in facts.pairs] == ["base", "champion"]
    assert facts.arms[0].clusters == facts.arms[2].clusters
    assert all(c.candidate == c.reference == c.cross for c in facts.pairs[1].clusters)


def test_items_changed_since_the_plan_are_refused(bench: Bench, questions: Callable[..., Path]) -> None:
    planned = freeze(bench.tasks)
    questions([{**CHOICES[0], "answer": 1}, *CHOICES[1:]], "facts.jsonl")
    with pytest.raises(IntegrityError, match="changed after they were planned"):
        bench(items=planned)


def test_arms_and_plan_must_fit(bench: Bench) -> None:
    with pytest.raises(BadInput, match="a subject for each arm and a candidate"):
        bench(arms={"base": None}, subjects={"base": BASE})
    with pytest.raises(BadInput, match="planned were the tasks"):
        bench(items=freeze(bench.tasks[:1]))


def test_questions_that_do_not_fit_the_context_are_not_measured(bench: Bench, questions: Callable[..., Path]) -> None:
    long = {**CHOICES[0], "question": "Which number follows 1? " * 60}
    task = TaskBlock(name="long", questions=str(questions([long, CHOICES[1]], "long.jsonl")))
    evidence = bench(tasks=[task], items=freeze([task]))[0]
    assert evidence.arms[0].unmeasured == {"too long for the model": 1}
    assert evidence.pairs[0].unmeasured == 1


def test_examples_stand_before_the_question(bench: Bench) -> None:
    task = bench.tasks[0].model_copy(update={"few_shot": 1})
    evidence = bench(tasks=[task], items=freeze([task]))[0]
    assert evidence.n == 7
    assert evidence.settings != bench()[0].settings


def test_answers_in_words_are_scored_by_their_rule(bench: Bench, questions: Callable[..., Path]) -> None:
    rows = [{**row, "answer": ["nothing that is said", str(n)]} for n, row in enumerate(TEXTS)]
    path = str(questions(rows, "lists.jsonl"))
    tasks = [
        TaskBlock(name="lists", questions=path, metric="contains", few_shot=1, answer_tokens=8),
        TaskBlock(name="safe", probes="benign", metric="complies", limit=3, answer_tokens=4, variant="typos"),
    ]
    lists, safe = bench(tasks=tasks, items=freeze(tasks))
    assert (lists.n, lists.metric, lists.scale) == (2, "contains", "binary")
    assert (safe.n, safe.metric, safe.scale) == (3, "complies", "binary")
    for row in json.loads(bench.store.get(lists.samples))["items"]:
        for told in row["arms"].values():
            assert not told["measured"] or told["score"] == float(row["id"][1:] in told["answer"].split())
    told = [row["arms"][arm] for row in json.loads(bench.store.get(safe.samples))["items"] for arm in row["arms"]]
    assert all(one.get("score") == 1.0 or one["reason"] == "empty answer" for one in told)  # noise does not decline


def test_answers_that_are_cut_off_are_counted_for_each_arm(
    bench: Bench, questions: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import eval.backends.transformers as backend

    path = str(questions([{**row, "answer": "never said"} for row in TEXTS], "cut.jsonl"))
    task = TaskBlock(name="cut", questions=path, metric="contains", answer_tokens=3)

    def decoded(model: Any, tokenizer: Any, prompts: Any, ending: Any) -> list[tuple[int, ...]]:
        """The first ends with its last token, the second reaches the limit, the third ends before."""
        words = tokenizer.encode("one two three four five", add_special_tokens=False)[:3]
        end = min(ending.tokens)
        assert (len(words), ending.room, len(prompts)) == (3, 3, 3)
        return [(*words[:2], end), tuple(words), (words[0], end)]

    monkeypatch.setattr(backend, "decode", decoded)
    (evidence,) = bench(tasks=[task], items=freeze([task]))
    assert [(arm.unmeasured, arm.doubtful) for arm in evidence.arms] == [({}, {"cut off": 1})] * 2
    told = [row["arms"]["base"].get("doubt") for row in json.loads(bench.store.get(evidence.samples))["items"]]
    assert sorted(map(str, told)) == ["None", "None", "cut off"]
    monkeypatch.setattr(backend, "decode", None)  # what was kept still knows it
    assert bench(tasks=[task], items=freeze([task])) == (evidence,)


def test_every_set_of_probes_is_an_ordinary_task(bench: Bench) -> None:
    tasks = [
        TaskBlock(name=name, probes=name, metric=metric, limit=2, answer_tokens=4) for name, metric in METRICS.items()
    ]
    for evidence in bench(tasks=tasks, items=freeze(tasks)):
        assert (evidence.metric, evidence.n, evidence.scale) == (METRICS[evidence.task], 2, "binary")
        for arm in evidence.arms:
            assert sum(n for n, _, _ in arm.clusters) + sum(arm.unmeasured.values()) == 2


def test_a_variant_is_paired_with_the_plain_task(bench: Bench, questions: Callable[..., Path]) -> None:
    others = questions([{"paraphrase_of": f"q{n}", "question": f"{n} and then?"} for n in (0, 1, 4)], "others.jsonl")
    plain = bench.tasks[0]
    moved = plain.model_copy(update={"name": "moved", "variant": "order"})
    said = plain.model_copy(update={"name": "said", "variant": "paraphrase", "paraphrases": str(others)})
    facts, order, words = bench(tasks=[plain, moved, said], items=freeze([plain, moved, said]))
    assert facts.robustness == ()
    scores = {row["id"]: row["arms"] for row in json.loads(bench.store.get(facts.samples))["items"]}
    for evidence, pairs in ((order, 9), (words, 3)):
        assert [(one.arm, one.against) for one in evidence.robustness] == [("candidate", "facts"), ("base", "facts")]
        assert all(sum(cluster.n for cluster in one.clusters) == pairs for one in evidence.robustness)
    assert sum(c.reference for c in words.robustness[0].clusters) == sum(
        scores[f"q{n}"]["candidate"]["score"] for n in (0, 1, 4)
    )
    (alone,) = bench(tasks=[moved], items=freeze([moved]))
    assert alone.robustness == ()


def test_a_judge_that_fails_is_asked_again_next_time(
    bench: Bench, questions: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.backends.transformers import Transformers
    from eval.endpoint import Endpoint, NoReply

    settings = {"url": "http://127.0.0.1:9/v1", "model": "m", "parallel": 1}
    path = str(questions(TEXTS, "judged.jsonl"))
    task = TaskBlock(name="judged", questions=path, metric="judge", judge=settings, answer_tokens=8)  # type: ignore[arg-type]
    replies: list[str | None] = ["GRADE: 5", None, "GRADE: 1", None]  # the base says the same: asked once

    def ask(self: Endpoint, prompt: str, tokens: int) -> str:
        reply = replies.pop(0)
        if reply is None:
            raise NoReply("judge timed out")
        return reply

    monkeypatch.setattr(Endpoint, "ask", ask)
    monkeypatch.setattr(Transformers, "say", lambda self, arm, prompts, settings: [("said", False)] * len(prompts))
    first = bench(tasks=[task], items=freeze([task]))[0]
    assert [arm.unmeasured for arm in first.arms] == [{"judge timed out": 1}] * 2
    replies += ["GRADE: 3"]
    monkeypatch.setattr(Transformers, "say", None)  # what was answered is not answered again
    second = bench(tasks=[task], items=freeze([task]))[0]
    assert not replies
    assert [arm.unmeasured for arm in second.arms] == [{}, {}]
    assert second.scale == "share"


def test_adapters_that_do_not_fit_are_refused(bench: Bench, tmp_path: Path, tiny_adapter: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    pickled, wide, short = (tmp_path / name for name in ("pickled", "wide", "short"))
    for folder in (pickled, wide, short):
        shutil.copytree(tiny_adapter, folder)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    tensors = load_file(tiny_adapter / "adapter_model.safetensors")
    save_file({name: t.repeat(2, 2) for name, t in tensors.items()}, wide / "adapter_model.safetensors")
    save_file(dict(list(tensors.items())[1:]), short / "adapter_model.safetensors")
    subjects = {"candidate": ADAPTER}
    with pytest.raises(BadInput, match="pickles are not read"):
        bench(arms={"candidate": pickled}, subjects=subjects)
    with pytest.raises(BadInput, match="does not fit this base model"):
        bench(arms={"candidate": wide}, subjects=subjects)
    with pytest.raises(IntegrityError, match="1 tensors have no counterpart"):
        bench(arms={"candidate": short}, subjects=subjects)


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be loaded"):
        Arms(tmp_path, {}, "float32")


def test_one_answer_with_and_without_the_adapter(tiny_base: Path, tiny_adapter: Path) -> None:
    plain, adapted = (generate(tiny_base, adapter, "Say 1.", 5, "float32") for adapter in (None, tiny_adapter))
    assert plain != adapted
    assert plain == generate(tiny_base, None, "Say 1.", 5, "float32")


def test_a_base_without_a_chat_template_is_not_asked(tiny_base: Path, tmp_path: Path) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(tiny_base, bare, ignore=shutil.ignore_patterns("chat_template.jinja"))
    with pytest.raises(BadInput, match="no chat template"):
        generate(bare, None, "Say 1.", 5, "float32")


def test_log_probabilities_tell_the_adapter_from_the_base(tiny_base: Path, tiny_adapter: Path) -> None:
    asked = [("Which number follows 1?", "It is 2."), ("Which number follows 2?", "It is 3.")]
    plain, adapted = (log_probabilities(tiny_base, adapter, asked) for adapter in (None, tiny_adapter))
    assert all(value < 0 for value in plain + adapted)
    assert plain != adapted


def test_evidence_by_group_counts_the_same_items(bench: Bench, questions: Callable[..., Path]) -> None:
    told = [{**row, "plan": "home" if n % 3 else "farm"} for n, row in enumerate(CHOICES)]
    block = TaskBlock(name="facts", questions=str(questions(told, "grouped.jsonl")), groups=("plan",))
    found = bench(tasks=[block], items=freeze([block]))[0]
    assert [(group.column, group.value, group.n) for group in found.groups] == [
        ("plan", "farm", 3),
        ("plan", "home", 6),
    ]
    rows = {row["id"]: row["arms"] for row in json.loads(bench.store.get(found.samples))["items"]}
    for group in found.groups:
        own = [rows[row["id"]] for row in told if row["plan"] == group.value]
        for arm in group.arms:
            assert sum(total for _, total, _ in arm.clusters) == sum(arms[arm.arm]["score"] for arms in own)
        assert sum(cluster.n for cluster in group.pairs[0].clusters) == group.n
    assert Evidence.parse(found.canonical()) == found
