"""Every figure that the code can report stands in the table of docs/evaluation.md, which says where its formula is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "evaluation.md").read_text()
TABLE = PAGE.partition("## Every figure")[2].partition("\n## ")[0]
RULES = [path.stem for folder in ("eval/scorers", "eval/suites") for path in (ROOT / folder).glob("[!_]*.py")]
CHECKS = [path.stem for path in (ROOT / "governance/checks").glob("[!_]*.py")]
PROBES = [path.stem for folder in ("eval/probes", "eval/learnt") for path in (ROOT / folder).glob("[!_]*.*")]


@pytest.mark.parametrize("name", RULES)
def test_each_score_is_in_the_table(name: str) -> None:
    assert f"`{name}`" in TABLE or f"`{name.replace('_', '-')}`" in TABLE


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_is_explained(name: str) -> None:
    told = PAGE + (DOCS / "statistics.md").read_text() + (DOCS / "fairness.md").read_text()
    assert f"`{name.replace('_', '-')}`" in told


@pytest.mark.parametrize("name", PROBES)
def test_each_probe_is_explained(name: str) -> None:
    assert name in PAGE


def test_every_row_says_where_and_what_it_does_not_show() -> None:
    rows = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 10
    for row in rows:
        assert len(row) == 3 and all(cell.strip() for cell in row), row
        (target,) = re.findall(r"\]\(([^)]*)\)", row[1])
        page, _, anchor = target.partition("#")
        text = (DOCS / page).read_text() if page else PAGE
        heads = {
            re.sub(r"[^a-z0-9 -]", "", head.lower()).strip().replace(" ", "-")
            for head in re.findall(r"^#+ (.*)$", text, re.M)
        }
        assert not anchor or anchor in heads, target
