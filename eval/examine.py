"""Candidate, base and champion on the same items: one base in memory, one prompt, one record per item.

Finished batches, and finished pairs of task and arm, are kept under the digest of everything that shapes an answer, so
that a killed evaluation goes on where it was and a second one finds its results. Of what is made of training rows only
scores are kept, a few batches at a time. Repeated, it gives the same evidence:
items, batches and examples have a fixed order, decoding is greedy, and evidence holds no times, paths or last digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from eval.backend import ROWS_PER_QUESTION, Setup, versions
from eval.contamination import overlap_with
from eval.crew import Crew, Spread, crew
from eval.grouping import group_statistics
from eval.items import ItemSet, reopen
from eval.journal import Journal, batch_name
from eval.model import Precision, chat_template, device_name
from eval.results import ArmRun, Result, keep, read_run, recall, samples_json, verify_same_prompts
from eval.robustness import plain_task, robustness
from eval.scorer import is_final, rescored, scorer_of
from eval.statistics import arm_statistics, paired_statistics, scale_of
from eval.task import Learnt, OpenTask
from tunegate_core.canonical import digest, digest_json
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, ResourcesUnavailable
from tunegate_core.ports import Progress
from tunegate_core.records import Arm, Evidence, Overlap, PairedStatistics, Robustness
from tunegate_core.store import Store

# Of eval.asking and eval.backends; counted up when a change there can change an answer, or what is kept of it.
METHOD = 5
ORDER: tuple[Arm, ...] = ("candidate", "base", "champion")
BATCHES_AT_ONCE = 4  # of what is made of training rows: what a killed evaluation may lose, and several workers share
REFERENCES: tuple[Literal["base", "champion"], ...] = ("base", "champion")


@dataclass(frozen=True)
class Bench:
    """What all tasks of one examination share. `subjects`: adapter tree, or base tree, of each arm."""

    base_folder: Path
    base_tree: str
    arms: Mapping[Arm, Path | None]
    subjects: Mapping[Arm, str]
    cache: Path
    batch_size: int
    precision: Precision
    progress: Progress
    backend: str
    spread: Spread | None

    def settings(self, block: TaskBlock) -> dict[str, Any]:
        """All that shapes an answer beside the weights and the items."""
        template = chat_template(self.base_folder) or ""
        return {
            "method": METHOD,
            "template": digest(template.encode()),
            "few_shot": block.few_shot,
            "sampling": "greedy",
            "batch_size": self.batch_size,
            "backend": self.backend,
            "precision": self.precision,
            "device": device_name(),
            "libraries": {"lm_eval": version("lm_eval"), **versions(self.backend)},
        }

    def key(self, opened: OpenTask, arm: Arm) -> str:
        """Digest of all that shapes one arm's answers to one task."""
        adapter = None if self.arms[arm] is None else self.subjects[arm]
        shaping = {"base": self.base_tree, "adapter": adapter, "items": opened.digest()}
        return digest_json({**shaping, "settings": self.settings(opened.block)})

    def recall(self, opened: OpenTask, key: str) -> ArmRun | None:
        """The results that an earlier try kept."""
        return recall(self.path(key), key, opened.items)

    def path(self, key: str) -> Path:
        """Where the results of a finished pair of task and arm are kept."""
        return self.cache / "scores" / f"{key.removeprefix('sha256:')}.json"

    def journal(self, key: str) -> Path:
        """Where the answers of an unfinished one are kept."""
        return self.cache / "answers" / f"{key.removeprefix('sha256:')}.jsonl"


def examine(  # noqa: PLR0913 - the contract with the release: each is a record of its own
    tasks: Sequence[TaskBlock],
    items: Sequence[ItemSet],
    base_folder: Path,
    base_tree: str,
    arms: Mapping[Arm, Path | None],
    subjects: Mapping[Arm, str],
    store: Store,
    cache: Path,
    batch_size: int,
    precision: Precision,
    progress: Progress,
    learnt: Learnt | None = None,
    backend: str = "transformers",
    spread: Spread | None = None,
) -> tuple[Evidence, ...]:
    """Score every arm on every task; put the per-item records into the store; return one Evidence per task.

    `items` are those frozen in the plan; `arms` gives the adapter folder of each arm, None for the bare base;
    `batch_size` is in questions; `learnt` the candidate's training rows, None where they can't be had; `backend` a
    file of eval.backends; `spread` the workers that share the batches, None for one process. Raises ConfigError when
    the backend is not installed, IntegrityError when items changed since they were planned or arms were not asked the
    same, BadInput when an adapter does not fit, ResourcesUnavailable when memory or workers run out.
    """
    planned = {item.task: item for item in items}
    if "candidate" not in arms or set(arms) != set(subjects):
        raise BadInput(f"expected a subject for each arm and a candidate among them; found {sorted(arms)}")
    if sorted(planned) != sorted(task.name for task in tasks):
        raise BadInput(f"planned were the tasks {sorted(planned)}; found {sorted(task.name for task in tasks)}")
    opened = [reopen(task, planned[task.name], learnt) for task in tasks]
    ordered: dict[Arm, Path | None] = {arm: arms[arm] for arm in ORDER if arm in arms}
    bench = Bench(base_folder, base_tree, ordered, subjects, cache, batch_size, precision, progress, backend, spread)
    runs = _score(bench, opened)
    training = None if learnt is None else [*learnt.rows.values(), *learnt.copies]
    return tuple(
        _evidence(bench, task, runs[task.block.name], store).model_copy(
            update={"overlap": _overlap(task, training), "robustness": _robustness(task, opened, runs)}
        )
        for task in opened
    )


def _overlap(task: OpenTask, training: Sequence[str] | None) -> Overlap | None:
    """With the training rows; items that are made of these are no finding."""
    return None if task.learnt is not None else overlap_with([item.text for item in task.items], training)


def _robustness(
    task: OpenTask, opened: Sequence[OpenTask], runs: Mapping[str, dict[Arm, ArmRun]]
) -> tuple[Robustness, ...]:
    name = plain_task(task.block, [other.block for other in opened])
    plain = next((other for other in opened if other.block.name == name), None)
    return () if plain is None else robustness(task, plain, runs[task.block.name], runs[plain.block.name])


def _score(bench: Bench, opened: Sequence[OpenTask]) -> dict[str, dict[Arm, ArmRun]]:
    """Every arm's results on every task: those found, and the missing ones scored now."""
    runs: dict[str, dict[Arm, ArmRun | None]] = {}
    for task in opened:
        keys = {arm: bench.key(task, arm) for arm in bench.arms}
        runs[task.block.name] = {arm: bench.recall(task, key) for arm, key in keys.items()}
    missing = {arm for found in runs.values() for arm, run in found.items() if run is None}
    with _engine(bench, missing) as engine:
        return {task.block.name: _task(bench, engine, task, runs[task.block.name]) for task in opened}


def _task(
    bench: Bench, engine: "_Engine | None", task: OpenTask, runs: Mapping[Arm, ArmRun | None]
) -> dict[Arm, ArmRun]:
    """Every arm's results on one task."""
    done: dict[Arm, ArmRun] = {}
    for arm, found in runs.items():
        run = found if found is not None or engine is None else engine.score(task, arm)
        if run is not None:
            done[arm] = run
            bench.progress(_stage(task, arm), len(task.items), len(task.items))
    if engine is not None:
        engine.lm.forget()
    verify_same_prompts(task.block.name, done)
    return done


@contextmanager
def _engine(bench: Bench, missing: set[Arm]) -> Iterator["_Engine | None"]:
    """The base in memory with the adapters of the arms that are to be scored; None where there is nothing to score."""
    if not missing:
        yield None
        return
    adapters = {arm: folder for arm, folder in bench.arms.items() if folder is not None and arm in missing}
    setup = Setup(bench.base_folder, adapters, bench.precision, bench.batch_size)
    with _memory(bench.batch_size), crew(bench.backend, setup, bench.spread) as answer:
        yield _Engine(bench, answer)


class _Engine:
    """One model of the harness over who answers, so that a prompt is encoded once for all arms."""

    def __init__(self, bench: Bench, answer: Crew):
        from eval.asking import AskingLM
        from eval.quiet import quiet

        self._bench = bench
        with quiet():
            self.lm: AskingLM = AskingLM(bench.base_folder, bench.batch_size, answer)

    def score(self, task: OpenTask, arm: Arm) -> ArmRun:
        """One arm's results on one task, kept when they are whole; what an earlier try finished is not scored again."""
        bench, key = self._bench, self._bench.key(task, arm)
        found = bench.recall(task, key)  # two arms may be the same adapter
        if found is not None:
            return found
        bench.progress(_stage(task, arm), 0, len(task.items))
        journal = Journal(bench.journal(key))
        if task.learnt is None:
            self.lm.journal = journal
            run = self._run(task, arm, key, 0, len(task.items))
        else:
            run = self._in_parts(task, arm, key, journal)
        if is_final(run):
            keep(bench.path(key), run)
            journal.close()
        return run

    def _in_parts(self, task: OpenTask, arm: Arm, key: str, journal: Journal) -> ArmRun:
        """What is made of training rows, a few batches at a time. Only the scores are kept, by the numbers of the rows:
        what was said, or a digest of it, might be text that can't be erased from a file."""
        self.lm.journal = Journal()
        results: list[Result] = []
        for part in task.parts(BATCHES_AT_ONCE * self._bench.batch_size * ROWS_PER_QUESTION):
            name = batch_name([item.id for item in part.items])
            told = journal.recall(name)
            if told is None:
                run = self._run(part, arm, key, len(results), len(task.items))
                told = [(result.score, result.reason) for result in run.results]
                journal.keep(name, told)
            pairs = zip(part.items, told, strict=True)
            results += [Result(id=item.id, score=score, reason=reason) for item, (score, reason) in pairs]
        # Prompts are rendered in the items, which are the same for all arms.
        return ArmRun(key=key, prompts=tuple(item.id for item in task.items), results=tuple(results))

    def _run(self, task: OpenTask, arm: Arm, key: str, before: int, total: int) -> ArmRun:
        """All items of a task, or of a part of one, asked and scored; `before` items of `total` are done already."""
        from eval import lmeval
        from eval.quiet import quiet

        bench, lm, here = self._bench, self.lm, len(task.items)

        def watch(done: int, requests: int) -> None:
            bench.progress(_stage(task, arm), before + here * done // requests, total)

        with quiet():
            lm.arm, lm.watch = arm, watch
            is_chat = task.learnt is None and lm.tokenizer.chat_template is not None
            samples = lmeval.run(lm, task.build(), task.block, chat=is_chat)
            scorer = scorer_of(task.block)
            run = read_run(task.items, samples, "exact_match" if scorer else task.block.metric, key, lm)
        return run if scorer is None else rescored(run, task, scorer, bench.cache, bench.progress)


def _evidence(bench: Bench, task: OpenTask, runs: Mapping[Arm, ArmRun], store: Store) -> Evidence:
    from eval.lmeval import BINARY

    scorer = scorer_of(task.block)
    block, results = task.block, {arm: run.results for arm, run in runs.items()}
    is_binary = scorer.is_binary if scorer else block.metric.partition(",")[0] in BINARY
    pairs: list[PairedStatistics] = [
        paired_statistics(other, bench.subjects[other], task.items, results["candidate"], results[other])
        for other in REFERENCES
        if other in results
    ]
    return Evidence(
        task=block.name,
        metric=block.metric,
        scale=scale_of(is_binary, "share" if scorer else "real", results),
        higher_is_better=task.higher_is_better,
        items=task.digest(),
        settings=digest_json(bench.settings(block)),
        n=len(task.items),
        arms=tuple(arm_statistics(arm, bench.subjects[arm], task.items, results[arm]) for arm in results),
        pairs=tuple(pairs),
        groups=group_statistics(block.groups, task.items, results, bench.subjects, pairs),
        samples=store.put_json(samples_json(block.name, block.metric, task.items, runs, task.learnt is None)),
    )


def _stage(task: OpenTask, arm: Arm) -> str:
    return f"evaluate {task.block.name}: {arm}"


@contextmanager
def _memory(batch_size: int) -> Iterator[None]:
    """Memory that ran out on a device, as our error."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise ResourcesUnavailable(
            f"scoring {batch_size} questions at once needs more memory than there is; lower eval.batch_size"
        ) from error
