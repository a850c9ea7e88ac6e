"""The model card: Hugging Face's format, front matter with model-index and the sections of its template.

Format: https://huggingface.co/docs/hub/model-cards and its annotated card template. The front matter holds what is
recorded, or declared in the form that the Hub reads; a key that nothing answers is left out.
"""

import re
from typing import Any

from governance.document.answers import data, decisions, evidence, identity, training
from governance.document.form import Ask, Form, together
from governance.document.held import Held
from governance.document.model import Fact, Note

HUB, KIND = "hub://", "model-card"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]+/[A-Za-z0-9][\w.-]+", re.ASCII)  # two characters each: "n/a" names none
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")  # the Hub's ids, as in apache-2.0
LANGUAGES = re.compile(r"[a-z]{2,3}(?: ?, ?[a-z]{2,3})*")  # ISO 639 codes; "all of it" is none of them
FORMAT = Note(
    text="The sections are those of the annotated model card template; the front matter is read by the Hub.",
    source="https://huggingface.co/docs/hub/model-cards",
)


def metadata(held: Held) -> dict[str, Any]:
    """The card's front matter."""
    planned, base = held.planned, held.planned.base
    found: dict[str, Any] = {"library_name": "peft", "pipeline_tag": "text-generation", "tags": ["lora", "tunegate"]}
    found["model_name"] = held.subject
    licence, languages = _declared(held, "licence-adapter"), _declared(held, "language")
    if name := _on_hub(base.source) or _declared(held, "base-hub", REPOSITORY):
        found["base_model"], found["base_model_relation"] = name, "adapter"
    if licence or base.licence:
        found["license"] = "other" if licence and not LICENCE.fullmatch(licence) else licence or base.licence
    if LANGUAGES.fullmatch(languages):
        found["language"] = languages.replace(",", " ").split()
    if name := (_on_hub(planned.data.source) if planned.data else "") or _declared(held, "data-hub", REPOSITORY):
        found["datasets"] = [name]
    if results := _results(held):
        found["metrics"] = sorted({metric["type"] for result in results for metric in result["metrics"]})
        found["model-index"] = [{"name": held.subject, "results": results}]
    return found


def _results(held: Held) -> list[dict[str, Any]]:
    """The candidate's scores in the form of a model index; what was not measured is no result."""
    figures = held.verdict.figures if held.verdict else ()
    return [
        {
            "task": {"type": "text-generation"},
            "dataset": {
                "name": figure.task,
                "type": figure.task,
                "revision": str(held.planned.items.get(figure.task, {}).get("digest", "")),
            },
            "metrics": [
                {
                    "type": figure.metric,
                    "value": figure.interval.value,
                    "name": f"{figure.metric}, n={figure.interval.n}, {figure.interval.clusters} clusters",
                }
            ],
        }
        for figure in figures
        if figure.arm == "candidate" and figure.interval.value is not None
    ]


def _on_hub(source: str) -> str:
    """The name of a repository of the Hub; nothing for what came from elsewhere."""
    return source.removeprefix(HUB).split("@")[0] if source.startswith(HUB) else ""


def _declared(held: Held, field: str, form: re.Pattern[str] | None = None) -> str:
    """What a person declared of a field of this card, in the form that the front matter asks for; else nothing."""
    told = held.declared.get((KIND, field))
    text = (told.text if told else None) or ""
    return text if form is None or form.fullmatch(text) else ""


def hub_name(held: Held) -> list[Fact]:
    """The base model's name on the Hub, where it came from there."""
    name = _on_hub(held.planned.base.source)
    return [held.fact("base_model", name, "planned")] if name else []


def hub_data(held: Held) -> list[Fact]:
    """The data set's name on the Hub, where it came from there."""
    name = _on_hub(held.planned.data.source) if held.planned.data else ""
    return [held.fact("datasets", name, "planned")] if name else []


PLUGIN = Form(
    title="Model card",
    notes=(FORMAT,),
    metadata=metadata,
    sections=(
        (
            "Model details",
            (
                Ask("name", "Which model is this?", together(identity.name, identity.state)),
                Ask("base", "Which model was adapted?", identity.base),
                Ask("base-hub", "What is the base model called on the Hub?", hub_name,
                    "The base model did not come from the Hub, so the front matter names none."),
                Ask("adapter", "What was added to it?", together(identity.adapter, identity.files)),
                Ask("input", "Which template shapes its input?", identity.template),
                Ask("licence", "Under which licence is the base?", identity.base_licence),
                Ask("licence-adapter", "Under which licence is the adapter given on?"),
                Ask("developers", "Who developed, funded and shares it?"),
                Ask("language", "Which languages is it for?"),
                Ask("links", "Where are its repository, paper and demonstration?"),
            ),
        ),
        (
            "Uses",
            (
                Ask("direct-use", "What is it meant for?"),
                Ask("downstream-use", "What may be built on it?"),
                Ask("out-of-scope", "What is it not meant for?"),
            ),
        ),
        (
            "Bias, risks and limits",
            (
                Ask("groups", "How does it treat groups of people?", evidence.groups,
                    "No task of it names groups, so nothing about groups was measured."),
                Ask("limits", "What can the evaluation not show?", evidence.power),
                Ask("lost", "What could not be measured?", evidence.lost),
                Ask("failed", "Was it refused, withdrawn or stopped?", decisions.alarms),
                Ask("recommendations", "What should its users do about its risks?"),
            ),
        ),
        (
            "Training",
            (
                Ask("data", "What was it trained on?", together(data.source, data.counts, data.tokens)),
                Ask("data-hub", "What is the data set called on the Hub?", hub_data,
                    "The data did not come from the Hub, so the front matter names none."),
                Ask("preprocessing", "How were rows prepared?", data.handling),
                Ask("hyperparameters", "With which settings?", training.settings),
                Ask("run", "What did the run do?", training.run),
            ),
        ),
        (
            "Evaluation",
            (
                Ask("results", "What did it score?", evidence.scores),
                Ask("items", "On which items?", evidence.items),
                Ask("verdict", "How was that judged?", together(evidence.outcome, evidence.checks)),
            ),
        ),
        (
            "Environmental impact",
            (
                Ask("hardware", "On which hardware was it trained?", training.hardware),
                Ask("hours", "For how long?", None, "No time of running is recorded, so that a repeated run gives the "
                    "same record."),
                Ask("carbon", "How much carbon dioxide did that cause?"),
            ),
        ),
        (
            "Technical specifications",
            (
                Ask("software", "With which software?", training.software),
                Ask("statement", "What signed statement stands for the release?", identity.released),
            ),
        ),
        ("Contact", (Ask("contact", "Who answers for it?"),)),
    ),
)  # fmt: skip
