"""The log extract under the EU AI Act, Article 12: every recorded event of a release, its route and its deciding keys.

Article 12 asks high-risk systems for automatic logs over their life, Article 19 for how long they are kept.
"""

from governance.document.answers import decisions, evidence, identity
from governance.document.form import MAP, Ask, Form, together
from governance.document.model import Note

RULE = Note(
    text="Logs are kept for as long as the purpose asks, and for six months at least (Article 19).",
    source="Regulation (EU) 2024/1689, Articles 12 and 19",
)
DATES = Note(
    text="High-risk duties apply from 2 December 2027 (Annex III) and 2 August 2028 (Annex I). Check the Official "
    "Journal before quoting.",
    source="Digital Omnibus on AI, adopted by the Council on 29 June 2026",
)
HOLDS = Note(
    text="The ledger holds decisions and digests. Requests and answers are operational records of serving and are not "
    "in this extract.",
    source="docs/serving.md",
)

PLUGIN = Form(
    title="EU AI Act, Article 12 log extract",
    notes=(MAP, RULE, DATES, HOLDS),
    sections=(
        ("The system", (Ask("system", "Which system is this?", together(identity.name, identity.state)),
                        Ask("high-risk", "Is the system high-risk?"))),
        ("12(1) Events over its life", (Ask("12-1", "What was recorded automatically?", decisions.log),)),
        (
            "12(2) What the log must make traceable",
            (
                Ask("12-2a", "Situations that may be a risk, or a substantial change",
                    together(decisions.alarms, evidence.failed)),
                Ask("12-2b", "Monitoring after it is on the market", identity.places),
                Ask("12-2c", "Operation as deployers watch it", None,
                    "Requests and answers are not in the ledger; serving keeps records of them."),
            ),
        ),
        (
            "12(3) Remote biometric identification",
            (Ask("12-3", "Periods of use, reference database, matches and who verified them"),),
        ),
        ("19 How long logs are kept", (Ask("19", "For how long are these logs kept?"),)),
        ("Who checked", (Ask("people", "Who decided, by which key?", together(decisions.decisions, decisions.keys),
                             "Nobody has decided."),)),
    ),
)  # fmt: skip
