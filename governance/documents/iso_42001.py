"""A map of ISO/IEC 42001:2023, Annex A: each control named in our words, and the records that speak to it.

The standard is about an organisation's management system; a release can show some of its controls at work, not that
the system exists.
"""

from governance.document.answers import data, decisions, evidence, identity, training
from governance.document.form import MAP, Answer, Ask, Form, together
from governance.document.model import Note

RULE = Note(
    text="Controls are named in our words; read the standard for what they ask. Published in December 2023.",
    source="ISO/IEC 42001:2023, Annex A",
)
CONTROLS = {
    "A.2 Policies": {
        "A.2.2": "There is an AI policy",
        "A.2.3": "It agrees with other policies",
        "A.2.4": "It is reviewed",
    },
    "A.3 Organisation": {"A.3.2": "Roles and duties", "A.3.3": "Reporting of concerns"},
    "A.4 Resources": {
        "A.4.2": "Resources are documented",
        "A.4.3": "Data",
        "A.4.4": "Tools",
        "A.4.5": "Computing",
        "A.4.6": "People",
    },
    "A.5 Impact": {
        "A.5.2": "A process to assess impact",
        "A.5.3": "Assessments are documented",
        "A.5.4": "Impact on individuals and groups",
        "A.5.5": "Impact on society",
    },
    "A.6 Life cycle": {
        "A.6.1.2": "Objectives of responsible development",
        "A.6.1.3": "Processes of responsible development",
        "A.6.2.2": "Requirements",
        "A.6.2.3": "Documentation of design and development",
        "A.6.2.4": "Verification and validation",
        "A.6.2.5": "Deployment",
        "A.6.2.6": "Operation and monitoring",
        "A.6.2.7": "Technical documentation",
        "A.6.2.8": "Recording of event logs",
    },
    "A.7 Data": {
        "A.7.2": "Data for development",
        "A.7.3": "Acquisition of data",
        "A.7.4": "Quality of data",
        "A.7.5": "Provenance of data",
        "A.7.6": "Preparation of data",
    },
    "A.8 Interested parties": {
        "A.8.2": "Documentation for users",
        "A.8.3": "Reports from outside",
        "A.8.4": "Communication of incidents",
        "A.8.5": "Information for interested parties",
    },
    "A.9 Use": {
        "A.9.2": "Processes of responsible use",
        "A.9.3": "Objectives of responsible use",
        "A.9.4": "Use as intended",
    },
    "A.10 Third parties": {
        "A.10.2": "Duties are allotted",
        "A.10.3": "Suppliers",
        "A.10.4": "Customers",
    },
}
ANSWERS: dict[str, Answer] = {
    "A.3.2": decisions.rule,
    "A.4.2": together(identity.adapter, identity.files),
    "A.4.3": together(data.source, data.kept),
    "A.4.4": training.software,
    "A.4.5": training.hardware,
    "A.5.4": evidence.groups,
    "A.6.2.2": evidence.policy,
    "A.6.2.3": together(identity.base, training.settings),
    "A.6.2.4": together(evidence.outcome, evidence.checks),
    "A.6.2.5": identity.released,
    "A.6.2.6": identity.places,
    "A.6.2.8": decisions.log,
    "A.7.2": together(data.source, data.form),
    "A.7.4": together(data.counts, data.splits, evidence.overlap),
    "A.7.5": together(data.source, data.kept),
    "A.7.6": data.handling,
    "A.10.3": together(identity.base, identity.base_licence),
}
OPEN = {"A.5.4": "No task of it names groups, so nothing about groups was measured."}

PLUGIN = Form(
    title="ISO/IEC 42001 map",
    notes=(MAP, RULE),
    sections=tuple(
        (title, tuple(Ask(number, asked, ANSWERS.get(number), OPEN.get(number)) for number, asked in controls.items()))
        for title, controls in CONTROLS.items()
    ),
)
