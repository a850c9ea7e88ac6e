"""Technical documentation under the EU AI Act, Article 11 and Annex IV: its points in short, and what records answer.

Points and letters: Regulation (EU) 2024/1689, Annex IV. Application of the high-risk duties as moved by the Digital
Omnibus; whether a system is high-risk at all is not for records to say.
"""

from governance.document.answers import data, decisions, evidence, identity, training
from governance.document.form import MAP, Ask, Form, together
from governance.document.model import Note

RULE = Note(
    text="The points are those of Annex IV, shortened. The file is kept for ten years after the system is placed on "
    "the market (Article 18).",
    source="Regulation (EU) 2024/1689, Articles 11 and 18, Annex IV",
)
DATES = Note(
    text="High-risk duties apply from 2 December 2027 (Annex III) and 2 August 2028 (Annex I); the transparency duties "
    "of Article 50 from 2 August 2026. Check the Official Journal before quoting.",
    source="Digital Omnibus on AI, adopted by the Council on 29 June 2026",
)

PLUGIN = Form(
    title="EU AI Act, Annex IV technical documentation",
    notes=(MAP, RULE, DATES),
    sections=(
        (
            "1. General description",
            (
                Ask("1a-purpose", "Intended purpose and provider"),
                Ask("1a-version", "Version, and its relation to earlier ones",
                    together(identity.name, identity.predecessor)),
                Ask("1b", "How it interacts with hardware and software that is no part of it"),
                Ask("1c", "Versions of the software it was made with", training.software),
                Ask("1d", "The forms in which it is put on the market", identity.files),
                Ask("1e", "The hardware it is meant to run on"),
                Ask("1f", "Where it is part of a product: pictures of that product"),
                Ask("1g", "The interface that deployers see"),
                Ask("1h", "Instructions for deployers"),
            ),
        ),
        (
            "2. Elements and development",
            (
                Ask("2a", "Methods and steps; what was taken from third parties",
                    together(identity.dates, identity.base, identity.base_licence)),
                Ask("2b-choices", "Design choices: the settings", together(identity.adapter, training.settings)),
                Ask("2b-reasons", "Why these choices were made, for whom, and what was traded off"),
                Ask("2c-architecture", "How components build on each other", identity.built_on),
                Ask("2c-resources", "Computing used to develop, train and test", together(training.hardware,
                    training.run)),
                Ask("2d-data", "Training data: origin, amount, cleaning",
                    together(data.source, data.counts, data.tokens, data.handling, data.kept)),
                Ask("2d-selection", "How data was obtained, selected and labelled"),
                Ask("2e", "Human oversight (Article 14)", together(decisions.rule, decisions.decisions)),
                Ask("2f", "Changes that are determined beforehand", decisions.watching),
                Ask("2g-tests", "Validation and testing: data and metrics", together(evidence.items, evidence.policy)),
                Ask("2g-results", "Validation and testing: results",
                    together(evidence.outcome, evidence.scores, evidence.differences)),
                Ask("2g-signed", "Test reports with date and signature", decisions.decisions, "Nobody has decided."),
                Ask("2g-groups", "Effects that may discriminate", evidence.groups,
                    "No task of it names groups, so nothing about groups was measured."),
                Ask("2g-robust", "Robustness", evidence.robustness,
                    "No task asks in another form what a second task asks as it is."),
                Ask("2h", "Cybersecurity measures", evidence.security,
                    "No task of it asks for secrets; measures around the model are no events."),
            ),
        ),
        (
            "3. Monitoring, functioning, control",
            (
                Ask("3-accuracy", "Capabilities and limits, accuracy", together(evidence.checks, evidence.power,
                    evidence.lost)),
                Ask("3-persons", "Accuracy for the persons or groups it is meant for", evidence.groups,
                    "No task of it names groups, so nothing about groups was measured."),
                Ask("3-outcomes", "Unintended outcomes and sources of risk that can be foreseen"),
                Ask("3-oversight", "Measures by which people oversee it", together(decisions.rule,
                    decisions.watching)),
                Ask("3-input", "What its input must be like", identity.template),
            ),
        ),
        ("4. Metrics", (Ask("4", "Why these metrics suit this system"),)),
        ("5. Risk management", (Ask("5", "The risk management system (Article 9)"),)),
        (
            "6. Changes over its life",
            (Ask("6", "What the provider changed", together(identity.state, identity.places, decisions.alarms)),),
        ),
        ("7. Standards", (Ask("7", "Harmonised standards applied, or what was done instead"),)),
        ("8. Declaration", (Ask("8", "The EU declaration of conformity"),)),
        (
            "9. After it is on the market",
            (
                Ask("9-plan", "The plan of post-market monitoring (Article 72)"),
                Ask("9-watching", "What is set up to watch a canary", decisions.watching),
            ),
        ),
    ),
)  # fmt: skip
