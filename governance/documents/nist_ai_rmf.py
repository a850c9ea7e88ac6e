"""A map of the NIST AI Risk Management Framework 1.0 (NIST AI 100-1): each subcategory in short, and its records.

The generative profile (NIST AI 600-1) uses the same subcategories. Most ask about an organisation, which no record of
a release answers.
"""

from governance.document.answers import data, decisions, evidence, explanations, identity, training
from governance.document.form import MAP, Answer, Ask, Form, together
from governance.document.model import Note

RULE = Note(
    text="Voluntary; subcategories are shortened. In force since January 2023; the generative profile since July 2024.",
    source="NIST AI 100-1 (AI RMF 1.0) and NIST AI 600-1",
)
MODEL_RISK = Note(
    text="SR 11-7 was rescinded on 17 April 2026; SR 26-2 and OCC 2026-13, which follow it, leave generative AI out.",
    source="Federal Reserve SR 26-2, OCC Bulletin 2026-13",
)
SAID = "What people say about answers in use is recorded apart from a release; no event of this release tells of it."
OPEN = {
    "GOVERN 1.7": "Revocations, rollbacks and stops are events; whether they are safe, none of them tells.",
    "GOVERN 5.1": SAID,
    "MEASURE 2.6": "No task of it scores refusals or compliance, so nothing about safety was measured.",
    "MEASURE 2.7": "No task of it asks for secrets, or asks in another form what a second task asks as it is.",
    "MEASURE 2.9": "No explanation of an answer of it was recorded.",
    "MEASURE 2.10": "No task of it asks for what was learnt by heart, or looks for personal data in answers.",
    "MEASURE 2.11": "No task of it names groups, so nothing about groups was measured.",
    "MEASURE 3.3": SAID,
}

GOVERN = {
    "1.1": "Legal requirements are understood",
    "1.2": "Traits of trustworthy AI are part of policies",
    "1.3": "How much risk management is needed is determined",
    "1.4": "The process rests on transparent policies and controls",
    "1.5": "Monitoring and review are planned, with roles",
    "1.6": "AI systems are inventoried",
    "1.7": "Systems can be taken out of service safely",
    "2.1": "Roles and lines of communication are documented",
    "2.2": "People are trained for their duties",
    "2.3": "Leadership answers for decisions on risk",
    "3.1": "Decisions are informed by a diverse team",
    "3.2": "Roles of people who oversee the system are defined",
    "4.1": "Design and use put safety first",
    "4.2": "Teams document risks and impacts",
    "4.3": "Testing and reporting of incidents are practised",
    "5.1": "Feedback from outside is collected and weighed",
    "5.2": "Weighed feedback is brought into design",
    "6.1": "Risks of third parties, such as rights in their work, are addressed",
    "6.2": "Failures of third parties are planned for",
}
MAPPED = {
    "1.1": "Purpose, context and users are understood",
    "1.2": "Those who frame it come from several disciplines",
    "1.3": "Mission and goals are documented",
    "1.4": "Business value is defined",
    "1.5": "Tolerances for risk are documented",
    "1.6": "Requirements are drawn from those concerned",
    "2.1": "Tasks and methods are defined",
    "2.2": "Limits of its knowledge, and how people use its output, are documented",
    "2.3": "Test design is sound and documented",
    "3.1": "Benefits are documented",
    "3.2": "Costs of errors are documented",
    "3.3": "The scope of application is documented",
    "3.4": "Skills of operators are defined",
    "3.5": "Human oversight is defined",
    "4.1": "Legal risks of components and data are mapped",
    "4.2": "Controls for components, also of third parties, are documented",
    "5.1": "Likelihood and size of impacts are documented",
    "5.2": "Regular contact with those affected is in place",
}
MEASURED = {
    "1.1": "Metrics for the greatest risks are chosen; what can't be measured is documented",
    "1.2": "Metrics and controls are assessed regularly",
    "1.3": "People who did not develop it take part in assessing it",
    "2.1": "Test sets, metrics and tools are documented",
    "2.2": "Evaluations with people meet the requirements for that",
    "2.3": "Performance is measured under conditions like those of use",
    "2.4": "Behaviour in production is monitored",
    "2.5": "It is shown to be valid and reliable, with its limits",
    "2.6": "Safety risks are evaluated",
    "2.7": "Security and resilience are evaluated",
    "2.8": "Risks to transparency and accountability are examined",
    "2.9": "The model is explained and its output interpreted",
    "2.10": "Privacy risk is examined",
    "2.11": "Fairness and bias are evaluated",
    "2.12": "Environmental impact is assessed",
    "2.13": "The measuring itself is evaluated",
    "3.1": "Known and emerging risks are tracked",
    "3.2": "Risks that are hard to measure are tracked",
    "3.3": "Users can report problems and appeal",
    "4.1": "Measuring is tied to contexts of use",
    "4.2": "Results are reviewed by experts of the domain",
    "4.3": "Improvements and declines are identified",
}
MANAGED = {
    "1.1": "Whether to go on is determined",
    "1.2": "Treatment of risks is ranked",
    "1.3": "Responses to high risks are planned",
    "1.4": "Residual risks are documented",
    "2.1": "Resources and alternatives are weighed",
    "2.2": "The value of the system in use is sustained",
    "2.3": "Unknown risks are responded to",
    "2.4": "It can be superseded, disengaged or switched off",
    "3.1": "Resources of third parties are monitored",
    "3.2": "Pre-trained models are monitored",
    "4.1": "Monitoring after deployment is planned",
    "4.2": "Improvements are part of updates",
    "4.3": "Incidents and errors are communicated",
}
ANSWERS: dict[str, Answer] = {
    "GOVERN 1.4": together(evidence.policy, decisions.rule),
    "GOVERN 1.5": decisions.watching,
    "GOVERN 1.6": together(identity.name, identity.state, identity.adapter),
    "GOVERN 2.1": decisions.rule,
    "GOVERN 3.2": decisions.rule,
    "GOVERN 6.1": identity.base_licence,
    "MAP 1.5": evidence.policy,
    "MAP 2.1": together(evidence.items, identity.base),
    "MAP 2.3": together(evidence.items, evidence.power),
    "MAP 3.5": together(decisions.rule, decisions.decisions),
    "MAP 4.1": identity.base_licence,
    "MAP 4.2": together(identity.base, identity.base_licence, training.software),
    "MEASURE 1.1": together(evidence.policy, evidence.lost),
    "MEASURE 1.3": decisions.decisions,
    "MEASURE 2.1": together(evidence.items, data.splits, evidence.overlap, training.software),
    "MEASURE 2.4": identity.places,
    "MEASURE 2.5": together(evidence.scores, evidence.checks, evidence.power),
    "MEASURE 2.6": evidence.safety,
    "MEASURE 2.7": together(evidence.security, evidence.robustness),
    "MEASURE 2.8": together(identity.dates, identity.released),
    "MEASURE 2.9": explanations.number,
    "MEASURE 2.10": evidence.privacy,
    "MEASURE 2.11": evidence.groups,
    "MEASURE 2.13": together(evidence.power, evidence.lost),
    "MEASURE 4.3": evidence.differences,
    "MANAGE 1.1": together(evidence.outcome, decisions.decisions),
    "MANAGE 1.4": together(evidence.power, evidence.lost),
    "MANAGE 2.4": together(identity.state, identity.places, decisions.alarms),
    "MANAGE 4.1": decisions.watching,
}


def _asks(function: str, points: dict[str, str]) -> tuple[Ask, ...]:
    named = [(f"{function} {number}", asked) for number, asked in points.items()]
    return tuple(Ask(name, asked, ANSWERS.get(name), OPEN.get(name)) for name, asked in named)


PLUGIN = Form(
    title="NIST AI RMF map",
    notes=(MAP, RULE, MODEL_RISK),
    sections=(
        ("Govern", _asks("GOVERN", GOVERN)),
        ("Map", _asks("MAP", MAPPED)),
        ("Measure", _asks("MEASURE", MEASURED)),
        ("Manage", _asks("MANAGE", MANAGED)),
    ),
)
