"""The data sheet: the questions of Gebru et al., "Datasheets for Datasets" (CACM 64:12, 2021), in short.

The ids count the questions of each section. Records answer what was read and what became of it; who made the data, and
why, they can't know.
"""

from governance.document.answers import data, evidence
from governance.document.form import Ask, Form, together
from governance.document.model import Note

SOURCE = "Gebru et al. 2021, Datasheets for Datasets, https://arxiv.org/abs/1803.09010"
ASKS = Note(text="The questions are those of the data sheet, shortened; ids give section and number.", source=SOURCE)
NO_DATA = "No data was read: the candidate judges an adapter that existed."

NO_FORM = "No record says which form rows have: the config leaves it to be found out, or no data was read."


def _open(prefix: str, *asks: str, first: int = 1) -> tuple[Ask, ...]:
    return tuple(Ask(f"{prefix}-{number}", asked) for number, asked in enumerate(asks, first))


COMPOSITION = (
    *_open("composition", "What does a row stand for?"),
    Ask("composition-2", "How many rows are there?", data.counts, NO_DATA),
    *_open("composition", "Are these all rows, or a sample?", first=3),
    Ask("composition-4", "What does a row consist of?", data.form, NO_FORM),
    Ask("composition-5", "Does each row have a label or target?", data.tokens, NO_DATA),
    Ask("composition-6", "Is something missing from rows?", data.missing, NO_DATA),
    *_open("composition", "Are relations between rows made explicit?", first=7),
    Ask(
        "composition-8", "Are splits recommended, and are they apart?", together(data.splits, evidence.overlap), NO_DATA
    ),
    Ask("composition-9", "Are there errors, noise or redundancies?", data.duplicates, NO_DATA),
    *_open(
        "composition",
        "Does it stand alone, or rely on other resources?",
        "Does it hold confidential data?",
        "Could it offend, threaten or frighten?",
        "Does it name subpopulations, such as by age or gender?",
        "Can people be identified from it?",
        "Does it hold sensitive data about people?",
        "Anything else on composition?",
        first=10,
    ),
)

PLUGIN = Form(
    title="Data sheet",
    notes=(ASKS,),
    sections=(
        ("The data", (Ask("data", "Which data is this?", together(data.source, data.kept), NO_DATA),)),
        (
            "Motivation",
            _open("motivation", "For what was it made?", "Who made it?", "Who paid for it?", "Anything else on why?"),
        ),
        ("Composition", COMPOSITION),
        (
            "Collection",
            _open(
                "collection",
                "How was each row acquired?",
                "With which mechanisms, and were they validated?",
                "How was a sample drawn?",
                "Who collected it, and how were they paid?",
                "Over which time?",
                "Was there an ethical review?",
                "Was it collected from people directly?",
                "Were they told?",
                "Did they consent?",
                "Can they withdraw consent?",
                "Was the effect on them analysed?",
                "Anything else on collection?",
            ),
        ),
        (
            "Preparation",
            (
                Ask("preparation-1", "How was it cleaned or labelled?", data.handling, NO_DATA),
                Ask("preparation-2", "Is the raw data kept?", data.kept, NO_DATA),
                *_open("preparation", "Is the software that prepared it available?", "Anything else on preparation?",
                       first=3),
            ),
        ),
        (
            "Uses",
            (
                Ask("uses-1", "What has it been used for?", data.users, NO_DATA),
                *_open(
                    "uses",
                    "Where are works that use it listed?",
                    "What else could it be used for?",
                    "Could its making affect future uses?",
                    "What should it not be used for?",
                    "Anything else on uses?",
                    first=2,
                ),
            ),
        ),
        (
            "Distribution",
            _open(
                "distribution",
                "Is it given to third parties?",
                "How is it distributed?",
                "When?",
                "Under which licence or terms?",
                "Do third parties restrict it?",
                "Do export controls apply?",
                "Anything else on distribution?",
            ),
        ),
        (
            "Maintenance",
            _open(
                "maintenance",
                "Who supports and hosts it?",
                "How can its keeper be reached?",
                "Is there an erratum?",
                "Will it be updated?",
                "Is there a limit on how long data about people is kept?",
                "Are older versions kept?",
                "How can others extend it?",
                "Anything else on maintenance?",
            ),
        ),
    ),
)  # fmt: skip
