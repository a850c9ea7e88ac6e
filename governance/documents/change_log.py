"""The change log between two releases: what differs in config, data, base, policy, items, software and figures.

Figures of two releases are set side by side only where both were measured on the same frozen items.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from governance.document.answers.training import shown
from governance.document.form import Ask, Form
from governance.document.held import Held
from governance.document.model import Fact, Note, Row, Source, Table
from tunegate_core.errors import BadInput
from tunegate_core.records import Figure

HEAD = ("what", "before", "after")
ABSENT = "-"
SIDE_BY_SIDE = Note(
    text="Scores stand side by side where both were measured on the same items. Bounds that overlap do not show that "
    "two releases are equal; the evaluation report of the later one has differences item by item where the earlier one "
    "was its champion.",
    source="docs/statistics.md",
)
Values = Mapping[str, str]


def before(held: Held) -> Held:
    """The release the log starts from. Raises BadInput where none was given."""
    if held.other is None:
        raise BadInput(f"a change log of {held.subject} needs the release it starts from; name one with --against")
    return held.other


def sides(held: Held) -> list[Fact]:
    """Which two."""
    return [before(held).fact("before", before(held).subject, "planned"), held.fact("after", held.subject, "planned")]


def states(held: Held) -> list[Table]:
    """What became of both."""
    rows = [changed("state", *((side, side.state, side.events[-1].kind, None) for side in (before(held), held)))]
    return [Table(title="States", head=HEAD, rows=tuple(rows))]


def config(held: Held) -> list[Fact | Table]:
    """Settings that differ."""
    return differing(held, "Settings", lambda side: dict(_flat(side.config)), "planned", lambda s: s.planned.config)


def base(held: Held) -> list[Fact | Table]:
    """The base model's record."""
    return differing(held, "Base model", lambda side: _strings(side.planned.base.model_dump(mode="json")), "planned")


def data(held: Held) -> list[Fact | Table]:
    """The data's record."""
    return differing(
        held,
        "Data",
        lambda side: dict(_flat(side.planned.data.model_dump(mode="json"))) if side.planned.data else {},
        "planned",
    )


def policy(held: Held) -> list[Fact | Table]:
    """The policy."""
    return differing(
        held, "Policy", lambda side: dict(_flat(side.policy.model_dump(mode="json"))), "planned",
        lambda side: side.planned.policy,
    )  # fmt: skip


def items(held: Held) -> list[Fact | Table]:
    """The frozen item sets."""
    return differing(
        held, "Items", lambda side: {task: str(found["digest"]) for task, found in side.planned.items.items()},
        "planned",
    )  # fmt: skip


def software(held: Held) -> list[Fact | Table]:
    """Versions of what trained each; nothing unless both were trained here."""
    if any(side.environment is None for side in (before(held), held)):
        return []
    return differing(
        held, "Software", lambda side: dict(side.environment.packages) if side.environment else {}, "trained",
        lambda side: side.source("trained").record,
    )  # fmt: skip


def files(held: Held) -> list[Fact | Table]:
    """The adapter's files."""
    if any(side.manifest is None for side in (before(held), held)):
        return []
    return differing(
        held, "Files", lambda side: {file.path: file.sha256 for file in side.manifest.files} if side.manifest else {},
        "sealed", lambda side: side.adapter.tree if side.adapter else None,
    )  # fmt: skip


def scores(held: Held) -> list[Table]:
    """The candidates' scores on items that are the same."""
    earlier, later = _figures(before(held)), _figures(held)
    rows = []
    for task, metric in [key for key in later if key in earlier]:
        digests = {str(side.planned.items.get(task, {}).get("digest")) for side in (before(held), held)}
        if len(digests) > 1:
            continue
        cells = [(side, _told(found[task, metric]), "judged", side.digest(side.verdict) if side.verdict else None)
                 for side, found in ((before(held), earlier), (held, later))]  # fmt: skip
        rows.append(changed(f"{task} {metric}", *cells))
    return [Table(title="Scores on the same items, %", head=HEAD, rows=tuple(rows))] if rows else []


def verdicts(held: Held) -> list[Table]:
    """Outcomes, check by check."""
    if any(side.verdict is None for side in (before(held), held)):
        return []
    found = []
    for side in (before(held), held):
        results = side.verdict.results if side.verdict else ()
        outcome = side.verdict.outcome if side.verdict else ABSENT
        found.append({"verdict": outcome, **{result.check: result.outcome for result in results}})
    rows = tuple(
        changed(name, *((side, told.get(name, ABSENT), "judged", side.digest(side.verdict) if side.verdict else None)
                        for side, told in zip((before(held), held), found, strict=True)))
        for name in dict.fromkeys([*found[0], *found[1]])
    )  # fmt: skip
    return [Table(title="Outcomes", head=HEAD, rows=rows)]


def changed(name: str, *sides: tuple[Held, str, str, str | None]) -> Row:
    """A row from both sides: the value, the kind of the event that proves it, and the record."""
    return Row(
        cells=(name, *(value for _, value, _, _ in sides)),
        sources=tuple(side.source(kind, record) for side, _, kind, record in sides),
    )


def differing(held: Held, title: str, read: Any, kind: str, record: Any = lambda side: None) -> list[Fact | Table]:
    """The values that differ, or the fact that none does."""
    two = (before(held), held)
    was, now = (read(side) for side in two)
    sources: tuple[Source, ...] = tuple(side.source(kind, record(side)) for side in two)
    rows = tuple(
        Row(cells=(name, was.get(name, ABSENT), now.get(name, ABSENT)), sources=sources)
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    )
    if not rows:
        return [Fact(name=title.lower(), value=f"the same ({len(now)} values)", sources=sources)]
    return [Table(title=title, head=HEAD, rows=rows)]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of a nested value under its path."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(below, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(below, Mapping) for below in value):
        for at, below in enumerate(value):
            name = below.get("id") or below.get("name") if isinstance(below, Mapping) else None
            yield from _flat(below, f"{prefix}[{name or at}]")
    else:
        yield prefix, ABSENT if value is None else shown(value)


def _strings(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: ABSENT if value is None else str(value) for key, value in values.items()}


def _figures(side: Held) -> dict[tuple[str, str], Figure]:
    found = side.verdict.figures if side.verdict else ()
    return {(figure.task, figure.metric): figure for figure in found if figure.arm == "candidate"}


def _told(figure: Figure) -> str:
    found = figure.interval
    if found.value is None or found.low is None or found.high is None:
        return "not measured"
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}], n={found.n}"


PLUGIN = Form(
    title="Change log",
    notes=(SIDE_BY_SIDE,),
    compares=True,
    sections=(
        ("The two", (Ask("sides", "Which two are compared?", sides), Ask("states", "Where do they stand?", states))),
        (
            "What changed",
            (
                Ask("config", "Which settings?", config),
                Ask("base", "The base?", base),
                Ask("data", "The data?", data),
                Ask("policy", "The policy?", policy),
                Ask("items", "The evaluation items?", items),
                Ask("software", "The software?", software, "Not both were trained here."),
                Ask("files", "The adapter's files?", files, "Not both have a sealed adapter."),
            ),
        ),
        (
            "What that did",
            (
                Ask("scores", "To the scores?", scores, "No task was measured for both on the same items."),
                Ask("verdicts", "To the verdict?", verdicts, "Not both were judged."),
            ),
        ),
        ("Why", (Ask("why", "Why was it changed?", None, "Reasons are kept as text that can be erased; documents show "
                     "no such text."),)),
    ),
)  # fmt: skip
