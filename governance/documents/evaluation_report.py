"""The evaluation report: the verdict with every reason, figure and decision, for who approves or audits a release."""

from governance.document.answers import data, decisions, evidence, explanations, identity, training
from governance.document.form import Ask, Form, together
from governance.document.model import Note

SPEAKS_OF = Note(
    text="It speaks of these tasks and items, of this base and template, and of nothing else.",
    source="docs/documents.md",
)
MIDP = Note(
    text="McNemar's mid-p takes every item as independent. It is shown for comparison and decides nothing.",
    source="docs/statistics.md",
)

PLUGIN = Form(
    title="Evaluation report",
    notes=(SPEAKS_OF, MIDP),
    sections=(
        (
            "Verdict",
            (
                Ask("verdict", "What was decided?", evidence.outcome),
                Ask("state", "Where does it stand now?", identity.state),
                Ask("checks", "Why?", evidence.checks),
            ),
        ),
        (
            "What was measured",
            (
                Ask("scores", "How did each arm score?", evidence.scores),
                Ask("differences", "How does the candidate compare, item by item?", evidence.differences),
                Ask("groups", "How does it treat groups of people?", evidence.groups,
                    "No task of it names groups, so nothing about groups was measured."),
                Ask("robustness", "Do the answers stand when a question is put otherwise?", evidence.robustness,
                    "No task asks in another form what a second task asks as it is."),
                Ask("preference", "Whose answers are preferred?", evidence.preferences,
                    "No task of it has answers compared, so no preference was measured."),
                Ask("overlap", "Did training see the items?", evidence.overlap,
                    "No evidence tells it item by item; rows that share a long run of words are counted below."),
                Ask("lost", "What could not be measured?", evidence.lost),
                Ask("power", "What could these items show at all?", evidence.power),
                Ask("explained", "Why are single answers as they are?", explanations.explanations, is_extra=True),
            ),
        ),
        (
            "What was fixed before",
            (
                Ask("policy", "By which policy was it judged?", evidence.policy),
                Ask("items", "On which items?", evidence.items),
                Ask("champion", "Against what?", identity.predecessor),
            ),
        ),
        (
            "Who decided",
            (
                Ask("rule", "Whose yes is needed?", decisions.rule),
                Ask("decisions", "Who said yes or no?", decisions.decisions, "Nobody has decided."),
                Ask("keys", "Since when are the deciding keys known?", decisions.keys,
                    "No event tells when a key that decided was made."),
                Ask("released", "What was released?", identity.released, "It was not released."),
            ),
        ),
        (
            "Where it comes from",
            (
                Ask("base", "From which base?", together(identity.base, identity.template, identity.base_licence)),
                Ask("data", "From which data?", together(data.source, data.counts, data.kept),
                    "No data was read: the candidate judges an adapter that existed."),
                Ask("adapter", "Which adapter is this?", identity.adapter),
                Ask("training", "How was it trained?", training.run,
                    "Nothing was trained: the candidate judges an adapter that existed, or was not trained yet."),
                Ask("starter", "Who started it?", identity.starter),
            ),
        ),
    ),
)  # fmt: skip
