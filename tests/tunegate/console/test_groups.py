"""Figures by group are shown with their sizes and bounds; what was not measured of a group is said, never nought."""

from types import SimpleNamespace
from typing import Any

import pytest

from tunegate import reading
from tunegate.console.groups import group_tables
from tunegate_core.records import (
    ArmStatistics,
    CheckResult,
    Evidence,
    GroupOutcome,
    GroupStatistics,
    Interval,
    Verdict,
)

DIGEST = "sha256:" + "0" * 64
FOUND = Interval(value=-0.02, low=-0.07, high=0.03, confidence=0.95, n=40, clusters=40, method="told")


def test_each_group_has_its_row_and_one_that_was_not_measured_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Evidence(
        task="facts", metric="acc", scale="binary", items=DIGEST, settings="s", n=44, arms=(), pairs=(), samples=DIGEST,
        groups=(group("en", [(1, 1.0, 1.0)] * 30 + [(1, 0.0, 0.0)] * 10), group("de", [])),
    )  # fmt: skip
    check = CheckResult(
        check="fair", outcome="UNDECIDED", reason="as told",
        groups=(
            GroupOutcome(column="language", group="en", outcome="PASS", interval=FOUND),
            GroupOutcome(column="language", group="de", outcome="UNDECIDED"),
        ),
    )  # fmt: skip
    verdict = Verdict(
        outcome="UNDECIDED", policy=DIGEST, subject=DIGEST, evidence=(DIGEST,), attempt=1, results=(check,), figures=()
    )
    monkeypatch.setattr(reading, "evidence_of", lambda house, blob: evidence)
    checked, scored = group_tables(SimpleNamespace(), verdict)
    assert [(row["group"], row["what"], size(row)) for row in checked["rows"]] == [
        ("language en", "PASS", 40),
        ("language de", "UNDECIDED", None),
    ]
    assert "-2.0, bounds -7.0 to 3.0" in checked["rows"][0]["plot"] and "not measured" in checked["rows"][1]["plot"]
    assert scored["blob"] == DIGEST and "by language" in scored["title"]
    assert [(row["group"], size(row)) for row in scored["rows"]] == [("en", 40), ("de", 0)]
    assert scored["rows"][0]["interval"].value == 0.75 and "not measured" in scored["rows"][1]["plot"]


def group(value: str, clusters: list[tuple[int, float, float]]) -> GroupStatistics:
    arm = ArmStatistics(arm="candidate", subject=DIGEST, clusters=tuple(clusters))
    return GroupStatistics(
        column="language", value=value, n=len(clusters), clusters=tuple(range(len(clusters))), arms=(arm,), pairs=()
    )


def size(row: dict[str, Any]) -> int | None:
    return row["interval"].n if row["interval"] else None
