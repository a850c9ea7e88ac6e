"""The fairness report: what was measured for each group of people that a task names, and what the policy made of it."""

from governance.document.answers import evidence, fairness, identity
from governance.document.form import Ask, Form
from governance.document.model import Note

NO_PROOF = Note(
    text="A small difference is no proof that nobody is harmed, and equal scores can be equally bad.",
    source="docs/fairness.md",
)
NO_GROUPS = "No task of it names groups, so nothing about groups was measured. That is no finding of fairness."

PLUGIN = Form(
    title="Fairness report",
    notes=(NO_PROOF,),
    sections=(
        (
            "Groups",
            (
                Ask("groups", "How did each group score, what changed for it, and how far do groups lie apart?",
                    evidence.groups, NO_GROUPS),
                Ask("known", "How much is known of each group?", fairness.unsure, NO_GROUPS),
                Ask("others", "Which groups of people does no task name?"),
            ),
        ),
        (
            "Verdict",
            (
                Ask("group-checks", "What did the policy ask for groups, and what was found?", fairness.checks,
                    "No check of its policy was judged by group."),
                Ask("verdict", "What was decided?", evidence.outcome),
                Ask("policy", "By which policy was it judged?", evidence.policy),
            ),
        ),
        (
            "What it rests on",
            (
                Ask("items", "On which items?", evidence.items),
                Ask("champion", "Against what?", identity.predecessor),
                Ask("lost", "What could not be measured?", evidence.lost),
            ),
        ),
    ),
)  # fmt: skip
