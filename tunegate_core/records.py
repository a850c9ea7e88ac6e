"""What passes between rooms: frozen records with a digest, never code.

Every record is strict (unknown keys are errors), immutable, and has one canonical form. Digests cover no times and
no paths of a machine, so that the same inputs give the same digests anywhere.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from tunegate_core.canonical import Digest, canonical_json, digest
from tunegate_core.errors import IntegrityError


class Record(BaseModel):
    """Base of every record: frozen, strict about keys, NaN refused, with a canonical form and a digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> bytes:
        """RFC 8785 bytes of this record."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> Digest:
        """Digest of the canonical form."""
        return digest(self.canonical())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The record in `data`. Raises IntegrityError when the bytes are not such a record."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(f"stored bytes are no valid {cls.__name__}: {error}") from error


class GrownRecord(Record):
    """A record that got fields after some were signed: while empty they are left out, so that old digests stay."""

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _leave_out_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        raw: dict[str, Any] = handler(self)
        return {key: value for key, value in raw.items() if value or key not in self.later}


class BaseModelRecord(Record):
    """A base model, tokenizer and chat template, materialised once as one store tree.

    `source` is how to get it again (`hub://org/name@<commit>`, `pkg://package@version`, or `folder`);
    `template` is the digest of the chat template's text. Training, evaluation and serving accept only `tree`.
    """

    source: str
    tree: str
    template: str
    architecture: str
    parameters: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    licence: str | None = None


class RowCounts(Record):
    """What became of the training rows. `kept` includes `truncated`; the others were dropped, by reason."""

    read: int = Field(ge=0)
    kept: int = Field(ge=0)
    truncated: int = Field(ge=0)
    empty: int = Field(ge=0)
    over_long: int = Field(ge=0)
    duplicate: int = Field(ge=0)
    near_duplicate: int = Field(ge=0)  # counted, kept unless the config says drop
    overlapping_items: int = Field(ge=0)  # rows that share a long n-gram with an evaluation item
    unsupervised: int = Field(ge=0)  # no token of an assistant in reach


class Augmentation(Record):
    """Counterfactual copies of kept rows. `pairs`: the store blob of the word pairs; `copies` were learnt from as well,
    `dropped` were not (too long, or as another row or an evaluation item is); `unchanged` rows have no word of a pair,
    `ambiguous` ones a word with several partners."""

    pairs: str
    copies: int = Field(ge=0)
    dropped: int = Field(ge=0)
    unchanged: int = Field(ge=0)
    ambiguous: int = Field(ge=0)


class DatasetRecord(GrownRecord):
    """Training data after preparation.

    `rows` is the salted commitment under which `tunegate_core.rows` keeps the rows as they were read (erasable row
    by row); `lineage` the store blob of the per-row record (kept, truncated, dropped with its reason, supervised
    tokens), which holds no text. A copy has an entry of its own there, under its row's number and marked `copy`; its
    text is nowhere but in its row and `augmented.pairs`.
    """

    source: str  # as the config gives it, without the folder
    revision: str | None = None
    rows: str
    lineage: str
    counts: RowCounts
    tokens: int = Field(ge=0)
    supervised_tokens: int = Field(ge=0)
    augmented: Augmentation | None = None
    later: ClassVar = ("augmented",)


class Environment(Record):
    """Where a run happened: versions, hardware, source state. Recorded, but in no digest that must repeat."""

    python: str
    packages: dict[str, str]
    machine: str
    cpu_count: int
    memory_bytes: int
    accelerators: tuple[str, ...] = ()
    git_commit: str | None = None
    git_dirty: bool | None = None


class TrainingRecord(Record):
    """What training did and measured; no times, so that a repeated run gives the same record on CPU with one worker.
    `supervised_tokens` are those of all steps."""

    steps: int = Field(gt=0)
    rows_per_step: int = Field(gt=0)
    supervised_tokens: int = Field(gt=0)
    first_loss: float
    final_loss: float
    packing: bool
    precision: Literal["float32", "bfloat16"]
    workers: int = Field(gt=0)
    strategy: Literal["none", "ddp", "fsdp"]
    trained_parameters: int = Field(gt=0)


class AdapterRecord(Record):
    """A sealed adapter: a store tree of plain PEFT safetensors with the digests of all that made it."""

    tree: str
    base: str  # BaseModelRecord.tree
    template: str
    config: str  # digest of the resolved finetune config
    rank: int = Field(gt=0)
    target_modules: tuple[str, ...]
    parameters: int = Field(gt=0)


Arm = Literal["candidate", "base", "champion"]


class Cluster(Record):
    """Sufficient statistics of one cluster of items (items that share a template, fact, passage or prompt).

    `n` items measured for both arms; `candidate`, `reference`: sums of the scores; `cross`: sum of their products;
    `candidate_sq`, `reference_sq`: sums of squares. For yes/no scores these are the paired counts.
    """

    n: int = Field(ge=0)
    candidate: float
    reference: float
    cross: float
    candidate_sq: float
    reference_sq: float


class PairedStatistics(Record):
    """Candidate against one reference on the same items, paired by item id; any margin can be judged later."""

    reference: Literal["base", "champion"]
    reference_subject: str  # adapter tree, or base tree
    clusters: tuple[Cluster, ...]
    unmeasured: int = Field(ge=0)  # items where either arm gave nothing to score


Doubt = Literal["refused", "cut off"]  # an answer that declines; one that reached the most tokens it may have


class ArmStatistics(GrownRecord):
    """One arm by itself: per-cluster (n, sum, sum of squares) and what could not be measured, by reason.

    `doubtful` counts items that have a score, and whose answer declined, or was cut off while more words could still
    have changed the score. An item has one doubt at most.
    """

    arm: Arm
    subject: str  # adapter tree, or base tree
    clusters: tuple[tuple[int, float, float], ...]
    unmeasured: dict[str, int] = Field(default_factory=dict)  # reason -> items
    doubtful: dict[Doubt, int] = Field(default_factory=dict)  # doubt -> items
    later: ClassVar = ("doubtful",)


class GroupStatistics(Record):
    """The items of one group: those whose `column` has this `value`; of an intersection, both joined by ` & `.

    `clusters` are the numbers of the task's clusters (in the order of their names) that hold items of the group. Every
    arm and pair has one entry for each of them, empty where nothing was measured, so that groups which share a cluster
    can be compared within it.
    """

    column: str
    value: str
    n: int = Field(ge=0)  # items of the group
    clusters: tuple[int, ...]
    arms: tuple[ArmStatistics, ...]
    pairs: tuple[PairedStatistics, ...]


class Robustness(Record):
    """One arm on a task of questions in another form, against the task of the plain questions, paired by question.

    `clusters`: `candidate` is the score in the other form, `reference` the plain one; `same`: (n, sum, sum of squares)
    per cluster of whether both got the same answer; `unmeasured`: pairs where either gave nothing to score.
    """

    arm: Arm
    against: str  # the plain task
    clusters: tuple[Cluster, ...]
    same: tuple[tuple[int, float, float], ...]
    unmeasured: int = Field(ge=0)

    def paired(self) -> PairedStatistics:
        """Other form minus plain, as a pair whose interval can be taken."""
        return PairedStatistics(
            reference="base", reference_subject=self.against, clusters=self.clusters, unmeasured=self.unmeasured
        )

    def consistent(self) -> ArmStatistics:
        """The same answers, as an arm's scores."""
        return ArmStatistics(arm=self.arm, subject=self.against, clusters=self.same)


class Overlap(Record):
    """Items of a task that stand in the training rows: as they are, within a row (13 words, or all of a shorter one),
    or nearly. An item is counted under the first that fits; `rows`: training rows that were looked through."""

    exact: int = Field(ge=0)
    within: int = Field(ge=0)
    near: int = Field(ge=0)
    rows: int = Field(ge=0)

    @property
    def items(self) -> int:
        """All of them."""
        return self.exact + self.within + self.near


class Evidence(GrownRecord):
    """What was measured for one task and metric. Sufficient statistics only; items are in `samples`.

    `scale` is `binary` (every score is 0 or 1), `share` (from 0 to 1) or `real` (any other).
    `items` is the digest of the item set, frozen in the plan; `settings` the digest of all that shapes an answer
    (template, few-shot, sampling, backend, precision); `samples` the digest of the per-item records in the store.
    """

    task: str
    metric: str
    scale: Literal["binary", "share", "real"]
    higher_is_better: bool = True
    items: str
    settings: str
    n: int = Field(ge=0)  # items in the set
    arms: tuple[ArmStatistics, ...]
    pairs: tuple[PairedStatistics, ...]
    samples: str
    groups: tuple[GroupStatistics, ...] = ()  # where the task names group columns
    overlap: Overlap | None = None  # with the candidate's training rows; None: these could not be looked through
    robustness: tuple[Robustness, ...] = ()  # of a variant, where the plain task was measured as well
    people: int | None = Field(default=None, ge=0)  # whose comparisons count, where people compared answers
    later: ClassVar = ("groups", "overlap", "robustness", "people")


Outcome = Literal["PASS", "FAIL", "UNDECIDED"]


class Interval(Record):
    """A figure with its interval. `low` and `high` are one-sided bounds at `confidence` each; None: not measured."""

    value: float | None
    low: float | None
    high: float | None
    confidence: float = Field(gt=0.5, lt=1)
    n: int = Field(ge=0)
    clusters: int = Field(ge=0)
    method: str


class GroupOutcome(Record):
    """What one check found for one group, or for two compared with each other."""

    column: str
    group: str
    outcome: Outcome
    interval: Interval | None = None


class CheckResult(GrownRecord):
    """One check of the policy, judged. `reason` is a sentence a reviewer can quote."""

    check: str
    outcome: Outcome
    reason: str
    interval: Interval | None = None
    threshold: float | None = None
    detectable: float | None = None  # smallest difference this set can detect at 80 % power
    items_to_settle: int | None = None  # only for UNDECIDED: items that would be enough if the difference is as seen
    groups: tuple[GroupOutcome, ...] = ()  # of a check by group
    later: ClassVar = ("groups",)


class Figure(GrownRecord):
    """One arm's score on one task, with its interval: what a reader looks at beside the checks.

    `unmeasured` and `doubtful` as in `ArmStatistics`.
    """

    task: str
    metric: str
    arm: Arm
    interval: Interval
    unmeasured: dict[str, int]
    doubtful: dict[Doubt, int] = Field(default_factory=dict)
    later: ClassVar = ("doubtful",)


class Verdict(Record):
    """The policy's answer with every reason. Its digest is what people sign."""

    outcome: Outcome
    policy: str
    subject: str  # adapter tree
    evidence: tuple[str, ...]
    attempt: int = Field(ge=1)  # how many candidates of this route were judged on these items, this one included
    results: tuple[CheckResult, ...]
    figures: tuple[Figure, ...]
