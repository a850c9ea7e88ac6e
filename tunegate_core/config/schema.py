"""The config's blocks. One description per field; the JSON Schema, the help and the docs are made from them.

Every field is read by something; a field nobody reads is a defect. `auto` is a value like any other: what it became
is recorded with the run. Paths are relative to the config file.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
VERSION = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?@[1-9][0-9]*$"


SOURCES = ("questions", "task_yaml", "harness", "probes", "feedback")
PROBES_OF_TRAINING = ("memorised", "canaries")
QUESTION_FIELDS = ("id", "question", "choices", "answer", "cluster")


class Block(BaseModel):
    """A part of the config: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def flags_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """`rank: true` is a mistake, not 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false do not fit here")
        return value


class BaseBlock(Block):
    """The model that is adapted."""

    model: str = Field(
        description="Where the base model is: a hub name (org/name), a folder, or pkg://PACKAGE for a model that "
        "travels in an installed Python package."
    )
    revision: str | None = Field(
        default=None, description="Hub revision; resolved to a commit. A 40-digit commit is best."
    )
    chat_template: str | None = Field(
        default=None, description="A Jinja file that replaces the tokenizer's chat template."
    )


class AugmentBlock(Block):
    """Copies of training rows that are learnt from as well."""

    counterfactual: str = Field(
        description="A CSV of word pairs (he,she): rows with such a word are also learnt with its partner in its place."
    )


class DataBlock(Block):
    """What is learnt from."""

    source: str = Field(description="A .jsonl, .json, .csv or .parquet file, or hub://org/name for a hub data set.")
    revision: str | None = Field(default=None, description="Hub revision of the data set; resolved to a commit.")
    split: str = Field(default="train", description="Split of a hub data set.")
    form: Literal["auto", "chat", "completion", "text"] = Field(
        default="auto", description="chat: `messages`; completion: `prompt` and `completion`; text: `text`."
    )
    over_long: Literal["error", "drop", "truncate"] = Field(
        default="drop", description="What happens to a row longer than train.max_length tokens."
    )
    duplicates: Literal["keep", "drop"] = Field(
        default="drop", description="Rows equal to an earlier row after Unicode and space folding."
    )
    near_duplicates: Literal["keep", "drop"] = Field(
        default="keep", description="Rows nearly equal to an earlier row (Jaccard of 5-word shingles >= 0.8)."
    )
    augment: AugmentBlock | None = Field(default=None, description="Copies of rows about the other group.")


class LoraBlock(Block):
    """The adapter's shape. Defaults follow the evidence in docs/finetuning.md, not habit."""

    rank: int = Field(default=16, ge=1, le=512, description="Rank of each update.")
    alpha: float = Field(default=32.0, gt=0, description="Scale; with rslora the update is scaled by alpha/sqrt(rank).")
    rslora: bool = Field(default=True, description="Rank-stabilised scaling (Kalajdzievski 2023).")
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default="all-linear", description="Module names, or every linear layer but the head."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the adapter's input.")


class TrainBlock(Block):
    """The optimisation."""

    epochs: float | None = Field(default=None, gt=0, description="Passes over the data; 3 when steps is not given.")
    steps: int | None = Field(default=None, ge=1, description="Optimizer steps, instead of epochs.")
    rows_per_step: int = Field(default=16, ge=1, description="Rows per optimizer step, over all workers.")
    rows_per_device: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="Rows that are in memory at once on one worker."
    )
    learning_rate: float = Field(default=2e-4, gt=0, lt=1, description="Peak rate; LoRA wants about 10x full tuning's.")
    schedule: Literal["cosine", "linear", "constant"] = Field(default="cosine", description="Decay after warm-up.")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="Share of steps spent warming up.")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's decay.")
    clip_norm: float = Field(default=1.0, gt=0, description="Gradients are clipped to this norm.")
    max_length: int = Field(default=1024, ge=16, description="Tokens per row at most.")
    packing: Literal["auto", "on", "off"] = Field(
        default="auto", description="Several rows in one sequence; auto: where the self-test proves rows stay apart."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 where the device does it natively."
    )
    seed: int = Field(default=17, ge=0, lt=2**32, description="Seeds initialisation, order and dropout.")
    checkpoint_steps: int = Field(default=25, ge=1, description="Steps between checkpoints; a killed run continues.")

    @model_validator(mode="after")
    def one_length(self) -> Self:
        """A training ends after steps or after epochs."""
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"give steps or epochs; found steps {self.steps} and epochs {self.epochs:g}")
        return self


class ParallelBlock(Block):
    """Where training runs."""

    workers: int = Field(default=1, ge=1, le=1024, description="Training workers.")
    device: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="auto: gpu where the cluster has some.")
    cpus_per_worker: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="auto: the machine's CPUs shared out."
    )
    gpus_per_worker: int = Field(default=1, ge=1, description="GPUs of each worker when the device is gpu.")
    strategy: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto", description="fsdp (FSDP2) splits the base over workers; auto: where it does not fit one device."
    )
    max_failures: int = Field(default=2, ge=0, description="How often a died worker group is started again.")

    @model_validator(mode="after")
    def shared_among_several(self) -> Self:
        """A base is split over workers, so that there must be two."""
        if self.strategy == "fsdp" and self.workers == 1:
            raise ValueError("strategy fsdp splits the base over workers; found workers 1, expected 2 or more")
        return self


class FinetuneBlock(Block):
    """How the adapter is made."""

    base: BaseBlock
    data: DataBlock
    lora: LoraBlock = LoraBlock()
    train: TrainBlock = TrainBlock()
    parallel: ParallelBlock = ParallelBlock()


class AdapterSource(Block):
    """Judge an adapter that exists instead of training one."""

    adapter: Annotated[str, Field(pattern=VERSION)] = Field(description="A candidate or release, NAME@N.")


def _which_source(value: Any) -> str:
    """A finetune block that names an adapter judges it; any other trains."""
    keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return "AdapterSource" if "adapter" in keys else "FinetuneBlock"


class JudgeBlock(Block):
    """A language model that scores answers. What it is asked and how far it may be believed: docs/evaluation.md."""

    url: str = Field(pattern=r"^https?://", description="An OpenAI-compatible endpoint, with its /v1.")
    model: str = Field(description="The model's name there.")
    form: Literal["rubric", "pairwise"] = Field(
        default="rubric", description="rubric: a grade of 1 to 5; pairwise: against the row's answer, in both orders."
    )
    rubric: str = Field(default="Correct, complete and clear.", description="What a good answer is.")
    key_env: str | None = Field(default=None, description="The environment variable that holds the API key.")
    timeout_s: float = Field(default=60, gt=0, description="Seconds for one reply.")
    parallel: int = Field(default=4, ge=1, le=64, description="Questions to the judge at once.")
    least_kappa: float = Field(
        default=0.4, ge=-1, le=1, description="Agreement with `labels` below which no score of the judge counts."
    )


class TaskBlock(Block):
    """One benchmark: questions of your own, a task of lm-evaluation-harness, prompts for safety that come along, or
    prompts whose answers people compare."""

    name: Annotated[str, Field(pattern=NAME)] = Field(description="How the policy calls it.")
    questions: str | None = Field(
        default=None, description="A JSONL: id, question, choices, answer (index), cluster; or id, question, answer."
    )
    task_yaml: str | None = Field(default=None, description="A task YAML of lm-evaluation-harness.")
    harness: str | None = Field(default=None, description="A task of lm-evaluation-harness by its name.")
    feedback: str | None = Field(
        default=None, description="A JSONL of prompts (id, prompt, cluster) whose answers people compare, unseen which."
    )
    raters: int = Field(default=1, ge=1, le=100, description="People who compare the answers to each prompt.")
    probes: str | None = Field(
        default=None,
        description="Prompts that come along: harmful, benign, injection, ...; or made of the training rows: "
        "memorised, canaries.",
    )
    planted: str | None = Field(
        default=None, description="For probes canaries: a JSONL (id, canary) of strings planted in training rows."
    )
    metric: str = Field(
        default="acc",
        description="acc, acc_norm, exact_match, a file of eval/scorers, or a metric the task reports; "
        "feedback: preferred.",
    )
    pattern: str | None = Field(
        default=None, description="For metric regex: its first group is what is compared with the answer."
    )
    judge: JudgeBlock | None = Field(default=None, description="For metric judge: who judges, and by what.")
    labels: str | None = Field(default=None, description="A JSONL of human labels that the judge is tried on first.")
    variant: Literal["typos", "order", "paraphrase"] | None = Field(
        default=None,
        description="The same questions with slips of the keyboard, choices in another order, or in other words.",
    )
    paraphrases: str | None = Field(
        default=None, description="For variant paraphrase: a JSONL (paraphrase_of: an id, question)."
    )
    answer_tokens: int = Field(default=64, ge=1, description="Tokens at most of an answer to questions or probes.")
    few_shot: int = Field(default=0, ge=0, description="Examples before each question.")
    limit: int | None = Field(default=None, ge=1, description="Only the first items.")
    groups: tuple[str, ...] = Field(
        default=(), description="Columns that say which group an item is about; all is then also measured by group."
    )

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Items come from one place."""
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(SOURCES)}; found {found}")
        return self

    @model_validator(mode="after")
    def keys_belong_together(self) -> Self:
        """A key that another one makes sense of does not stand alone."""
        for key, value, metric in (("judge", self.judge, "judge"), ("pattern", self.pattern, "regex")):
            if (value is not None) != (self.metric == metric):
                raise ValueError(f"metric {metric} and the key {key} go together; give both or neither")
        if self.labels is not None and self.judge is None:
            raise ValueError("labels are for a judge; give metric judge and the key judge as well")
        if (self.paraphrases is not None) != (self.variant == "paraphrase"):
            raise ValueError("variant paraphrase and the key paraphrases go together; give both or neither")
        if (self.planted is not None) != (self.probes == "canaries"):
            raise ValueError("probes canaries and the key planted go together; give both or neither")
        if self.is_of_training and (self.variant or self.few_shot or self.groups):
            raise ValueError(f"probes {self.probes} are training rows: they have no variant, few_shot or groups")
        if self.variant is not None and self.questions is None and self.probes is None:
            raise ValueError("a variant is made of questions or probes; tasks of lm-evaluation-harness have none")
        return self

    @property
    def is_of_training(self) -> bool:
        """Whether its items are made of the training rows, and so can be read only after these."""
        return self.probes in PROBES_OF_TRAINING

    @model_validator(mode="before")
    @classmethod
    def people_prefer(cls, value: Any) -> Any:
        """What people compare has one metric."""
        is_feedback = isinstance(value, dict) and value.get("feedback") is not None
        return {"metric": "preferred", **value} if is_feedback else value

    @field_validator("groups")
    @classmethod
    def columns_of_groups(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Each once, and none of a question's own fields."""
        wrong = sorted({name for name in groups if name in QUESTION_FIELDS or groups.count(name) > 1 or not name})
        if wrong:
            raise ValueError(f"can't be group columns, or are named twice: {', '.join(wrong)}")
        return groups


class EvalBlock(Block):
    """What is measured on base, champion and candidate, on the same items."""

    tasks: tuple[TaskBlock, ...] = Field(min_length=1)
    batch_size: int = Field(default=16, ge=1, description="Questions scored at once.")
    backend: Literal["transformers", "vllm"] = Field(default="transformers", description="The engine that scores.")
    workers: int = Field(default=1, ge=1, le=1024, description="More than one share the items, over Ray.")

    @model_validator(mode="after")
    def names_once(self) -> Self:
        """The policy calls a task by its name."""
        names = [task.name for task in self.tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"task names must differ; given twice: {', '.join(twice)}")
        return self


class GovernanceBlock(Block):
    """Who decides by what."""

    policy: str = Field(description="A policy YAML file.")


GuardName = Literal["errors", "ttft", "itl", "refusals", "empty", "truncated", "thumbs-down", "score"]


class StageBlock(Block):
    """How long a canary stays at one weight."""

    percent: float = Field(gt=0, lt=100, multiple_of=0.01, description="Share of users that get the canary.")
    min_minutes: float = Field(default=30, ge=0, description="Not sooner than this to the next stage.")
    min_samples: int = Field(default=200, ge=1, description="Values of each arm that every needed guard must have.")
    max_minutes: float = Field(default=1440, gt=0, description="After this, with too little data, a person decides.")

    @model_validator(mode="after")
    def least_before_most(self) -> Self:
        """There is time to advance."""
        if self.max_minutes <= self.min_minutes:
            raise ValueError(f"max_minutes ({self.max_minutes:g}) must be above min_minutes ({self.min_minutes:g})")
        return self


class CanaryBlock(Block):
    """How a canary is compared with its champion, and when it gets more weight, or none. See docs/canary.md."""

    stages: tuple[StageBlock, ...] = Field(
        default=(StageBlock(percent=10), StageBlock(percent=25), StageBlock(percent=50)),
        min_length=1,
        description="From little to more; after the last one the canary becomes the champion.",
    )
    alpha: float = Field(
        default=0.05, gt=0, le=0.5, description="Chance at most that an equal canary is rolled back, over all stages."
    )
    tolerance: float = Field(
        default=0.1, ge=0, le=10, description="How much worse counts as equal; 0.1: odds and times a tenth higher."
    )
    needed: tuple[GuardName, ...] = Field(
        default=("errors", "ttft", "refusals", "empty", "truncated"),
        min_length=1,
        description="Guards without which there is no next stage.",
    )
    watched: tuple[GuardName, ...] = Field(
        default=("itl", "thumbs-down", "score"), description="Guards that can end a canary, but need not be measured."
    )

    @model_validator(mode="after")
    def in_order(self) -> Self:
        """Weights rise, and a guard has one role."""
        percents = [stage.percent for stage in self.stages]
        if percents != sorted(set(percents)):
            raise ValueError(f"percent must rise from stage to stage; found {', '.join(f'{p:g}' for p in percents)}")
        names = (*self.needed, *self.watched)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"a guard is needed or watched, once; given twice: {', '.join(twice)}")
        return self


class ShadowBlock(Block):
    """A release that sees requests and answers none."""

    percent: float = Field(
        default=5, gt=0, le=100, multiple_of=0.01, description="Share of the route's requests that it sees."
    )


class ServingBlock(Block):
    """Where a release answers."""

    route: Annotated[str, Field(pattern=NAME)] | None = Field(
        default=None, description="The name callers use; the config's name when not given."
    )
    canary: CanaryBlock = CanaryBlock()
    shadow: ShadowBlock = ShadowBlock()


class Config(Block):
    """A release, from data to route."""

    name: Annotated[str, Field(pattern=NAME)] = Field(
        description="Lower-case letters, digits and dashes; versions are NAME@1, NAME@2, ..."
    )
    finetune: Annotated[
        Annotated[FinetuneBlock, Tag("FinetuneBlock")] | Annotated[AdapterSource, Tag("AdapterSource")],
        Discriminator(_which_source),
    ]
    eval: EvalBlock
    governance: GovernanceBlock
    serving: ServingBlock = ServingBlock()

    @property
    def route(self) -> str:
        """The route this config releases to."""
        return self.serving.route or self.name


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a config, for editors."""
    schema = Config.model_json_schema()
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tunegate config"}
