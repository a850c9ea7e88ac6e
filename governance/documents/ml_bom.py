"""The bill of materials: CycloneDX with a model card, https://cyclonedx.org/capabilities/mlbom/.

`cyclonedx-python-lib` writes the components; it knows no `modelCard`, which is added to its JSON here. The time and the
serial number come from the records, so that the same ledger gives the same file.
"""

import json
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from governance.document.answers import data, evidence, identity, training
from governance.document.form import ERASED, Ask, Form, together, unanswered
from governance.document.held import Held
from governance.document.model import Note
from tunegate_core.canonical import digest_json

KIND = "ml-bom"
SPEC = Note(
    text="The JSON form of this document is a CycloneDX 1.6 file; this is the same, to be read by people.",
    source="https://cyclonedx.org/docs/1.6/json/",
)


def bill(held: Held) -> dict[str, Any]:
    """The CycloneDX JSON."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    tree = held.adapter.tree if held.adapter else None
    adapter = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=held.planned.name,
        version=str(held.planned.version),
        bom_ref=held.subject,
        components=_files(held),
        properties=[*_proved(held, "sealed" if held.adapter else "planned", {"tree": tree} if tree else {}),
                    *_declared(held)],
    )  # fmt: skip
    parts = [_base(held), *_data(held), *_packages(held)]
    bom = Bom(
        metadata=BomMetaData(component=adapter, timestamp=datetime.fromisoformat(held.events[-1].at)),
        components=parts,
        serial_number=uuid5(NAMESPACE_URL, digest_json([held.subject, held.head.root])),
    )
    bom.register_dependency(adapter, parts)
    found: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    found["metadata"]["component"]["modelCard"] = _card(held)
    return found


def _base(held: Held) -> Any:
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense

    base = held.planned.base
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=base.source,
        bom_ref=base.tree,
        licenses=[DisjunctiveLicense(name=base.licence)] if base.licence else None,
        properties=_proved(held, "planned", {"tree": base.tree, "template": base.template}),
    )


def _data(held: Held) -> list[Any]:
    from cyclonedx.model.component import Component, ComponentType

    found = held.planned.data
    if found is None:
        return []
    told = {"commitment": found.rows, "rows": str(found.counts.kept), "tokens": str(found.tokens)}
    return [
        Component(
            type=ComponentType.DATA,
            name=found.source,
            version=found.revision,
            bom_ref=found.rows,
            properties=_proved(held, "planned", told),
        )
    ]


def _packages(held: Held) -> list[Any]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    if held.environment is None:
        return []
    return [
        Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            bom_ref=f"pypi:{name}",
            purl=PackageURL("pypi", None, name, version),
            properties=_proved(held, "trained", {}),
        )
        for name, version in sorted(held.environment.packages.items())
    ]


def _files(held: Held) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    files = held.manifest.files if held.manifest else ()
    return [
        Component(
            type=ComponentType.FILE,
            name=file.path,
            bom_ref=f"file:{file.path}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256.removeprefix("sha256:"))],
        )
        for file in files
    ]


def _proved(held: Held, kind: str, told: dict[str, str]) -> list[Any]:
    """Properties: what was told, and the event that proves it."""
    from cyclonedx.model import Property

    event = held.last(kind)
    proof = {"event": str(event.seq), "leaf": event.leaf.hex()} if event else {}
    return [Property(name=f"tunegate:{name}", value=value) for name, value in {**told, **proof}.items()]


def _declared(held: Held) -> list[Any]:
    """Properties: what people declared where no record answers, and the event of each."""
    from cyclonedx.model import Property

    said = {ask.id: held.declared[KIND, ask.id] for ask in unanswered(PLUGIN, held) if (KIND, ask.id) in held.declared}
    told = {name: ERASED if one.text is None else one.text for name, one in said.items()}
    told |= {f"{name}:event": str(one.event.seq) for name, one in said.items()}
    return [Property(name=f"tunegate:declared:{name}", value=value) for name, value in told.items()]


def _card(held: Held) -> dict[str, Any]:
    """The modelCard object: parameters and figures that are recorded, and nothing else."""
    parameters: dict[str, Any] = {"task": "text-generation", "modelArchitecture": held.planned.base.architecture}
    if held.last("trained"):
        parameters["approach"] = {"type": "supervised"}
    if held.planned.data:
        parameters["datasets"] = [{"ref": held.planned.data.rows}]
    figures = held.verdict.figures if held.verdict else ()
    metrics = []
    for figure in figures:
        found = figure.interval
        if found.value is None:
            continue
        metric: dict[str, Any] = {
            "type": figure.metric,
            "value": f"{found.value:.10g}",
            "slice": f"{figure.task}, {figure.arm}, n={found.n}",
        }
        if found.low is not None and found.high is not None:
            metric["confidenceInterval"] = {"lowerBound": f"{found.low:.10g}", "upperBound": f"{found.high:.10g}"}
        metrics.append(metric)
    return {"modelParameters": parameters, **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics
                                              else {})}  # fmt: skip


PLUGIN = Form(
    title="CycloneDX ML-BOM",
    notes=(SPEC,),
    own_form=bill,
    sections=(
        (
            "Components",
            (
                Ask("name", "The model", identity.name),
                Ask("adapter", "What it consists of", together(identity.adapter, identity.files)),
                Ask("base", "The model it stands on", together(identity.base, identity.template)),
                Ask("data", "Data", together(data.source, data.tokens, data.kept),
                    "No data was read: the candidate judges an adapter that existed."),
                Ask("software", "Software of the training", training.software,
                    "Nothing was trained here."),
            ),
        ),
        (
            "Licences",
            (
                Ask("licence-base", "Licence of the base", identity.base_licence),
                Ask("licence-adapter", "Licence of the adapter"),
                Ask("licence-data", "Licence of the data"),
                Ask("licence-software", "Licences of the software"),
            ),
        ),
        ("Model card", (Ask("metrics", "Figures", evidence.scores),
                        Ask("considerations", "Users, use cases, limits and ethical considerations"),
                        Ask("energy", "Energy used"))),
        ("Supplier", (Ask("supplier", "Who supplies it"),)),
    ),
)  # fmt: skip
