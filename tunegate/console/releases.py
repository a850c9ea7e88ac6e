"""Candidates and releases: the list, the story of one, two side by side, and its report by group."""

from typing import Any

from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from governance.registry import Entry
from tunegate import reading
from tunegate.console import plots
from tunegate.console.deciding import choice
from tunegate.console.groups import group_tables
from tunegate.console.lineage import graph
from tunegate.console.papers import all_kinds
from tunegate.console.stories import decisions, story
from tunegate.console.visit import Page, Visit
from tunegate.house import House
from tunegate.recording import standing, verdict_of
from tunegate_core.errors import BadInput
from tunegate_core.records import Verdict

STEP = 50
STATES = (
    "Planned",
    "Trained",
    "Sealed",
    "Examined",
    "Judged",
    "Approved",
    "Released",
    "Refused",
    "Retired",
    "Revoked",
    "Withdrawn",
)
OUTCOMES = ("PASS", "FAIL", "UNDECIDED")


def releases(visit: Visit) -> Response:
    """Every candidate, the newest first; by state, verdict, route and part of the name."""
    known = visit.desk.projection.now()
    asked = {name: visit.query(name) for name in ("state", "verdict", "route", "name")}
    found = [entry for entry in reversed(known.registry.entries.values()) if _fits(entry, asked)]
    first = visit.number("first")
    return visit.page(
        "releases.html",
        rows=[
            (entry, known.trails[entry.subject], known.registry.place_of(entry.subject))
            for entry in found[first : first + STEP]
        ],
        asked=asked,
        states=STATES,
        outcomes=OUTCOMES,
        routes=sorted(known.registry.states),
        first=first,
        step=STEP,
        total=len(found),
        page_url=lambda at: visit.url("releases", **asked, first=at),
    )


def release(visit: Visit) -> Response:
    """One candidate: what it is, why it was judged so, who decided, where it comes from, where it answers."""
    subject, house = visit.part("subject"), visit.house
    entry = visit.desk.projection.now().entry(subject)
    now = standing(house, subject)
    verdict = verdict_of(house, now)
    place = visit.desk.projection.now().registry.place_of(subject)
    figures, decided = figure_rows(house, verdict), decisions(house, now)
    tasks = {row["blob"]: row["task"] for row in figures}
    return visit.page(
        "release.html",
        entry=entry,
        now=now,
        planned=now.planned,
        standing=reading.where(now),
        place=place,
        story=story(house, now),
        verdict=verdict,
        seq={event.kind: event.seq for event in now.events},
        checks=check_rows(verdict),
        figures=figures,
        decisions=decided,
        lineage=reading.lineage_of(now),
        names=house.key_names(),
        graph=graph(visit, now, tasks, decided, place),
        choice=choice(visit, now),
        groups=group_tables(house, verdict),
        papers=all_kinds(),
    )


def fairness(visit: Visit) -> Response:
    """The fairness report by group, over the releases of the route: a page that stands on its own, to keep."""
    subject = visit.part("subject")
    visit.desk.projection.now().entry(subject)
    told = {"Content-Disposition": f'attachment; filename="{subject}-fairness.html"'}
    return HTMLResponse(reading.fairness(visit.house, subject), headers=told)


def comparison(visit: Visit) -> Response:
    """Two side by side, with intervals."""
    known = visit.desk.projection.now()
    asked = [visit.query("a").strip(), visit.query("b").strip()]
    newest = [entry.subject for entry in reversed(known.registry.entries.values())][:STEP]
    values: dict[str, Any] = {"asked": asked, "newest": newest, "sides": [], "tasks": [], "checks": []}
    if all(asked):
        if asked[0] == asked[1]:
            raise BadInput(f"{asked[0]} would be compared with itself; name two")
        entries = [known.entry(subject) for subject in asked]
        verdicts = [verdict_of(visit.house, standing(visit.house, subject)) for subject in asked]
        values |= {
            "sides": [(entry, known.trails[entry.subject]) for entry in entries],
            "tasks": _side_by_side(visit.house, verdicts),
            "checks": _checks_side_by_side(verdicts),
        }
    return visit.page("compare.html", **values)


def check_rows(verdict: Verdict | None) -> dict[str, Any]:
    """The checks with their plots on one scale, in points."""
    results = verdict.results if verdict else ()
    bounds = {
        result.check: 100 * result.threshold
        for result in results
        if result.interval is not None and result.threshold is not None
    }
    edges = [
        100 * edge
        for result in results
        if result.interval
        for edge in (result.interval.low, result.interval.high)
        if edge is not None
    ]
    domain = plots.domain_of([*edges, *bounds.values()])
    rows = [
        {
            "result": result,
            "plot": plots.of_interval(result.interval, domain, bounds.get(result.check))
            if result.interval
            else Markup(""),
        }
        for result in results
    ]
    return {"rows": rows, "axis": plots.axis(domain) if edges else ""}


def figure_rows(house: House, verdict: Verdict | None) -> list[dict[str, Any]]:
    """Each task with its arms, their plots on one scale, and the evidence they are from."""
    if verdict is None:
        return []
    blobs: dict[tuple[str, str], tuple[str | None, Any]] = {}
    for blob in verdict.evidence:
        evidence = reading.evidence_of(house, blob)
        blobs[evidence.task, evidence.metric] = (blob, evidence)
    tasks: dict[tuple[str, str], list[Any]] = {}
    for figure in verdict.figures:
        tasks.setdefault((figure.task, figure.metric), []).append(figure)
    found = []
    for (task, metric), figures in tasks.items():
        domain = plots.domain_of(
            plots.percent(edge) for figure in figures for edge in (figure.interval.low, figure.interval.high)
        )
        named, evidence = blobs.get((task, metric), (None, None))
        rows = [{"figure": figure, "plot": plots.of_interval(figure.interval, domain, None)} for figure in figures]
        found.append(
            {
                "task": task,
                "metric": metric,
                "blob": named,
                "evidence": evidence,
                "rows": rows,
                "axis": plots.axis(domain),
            }
        )
    return found


def _side_by_side(house: House, verdicts: list[Verdict | None]) -> list[dict[str, Any]]:
    tasks: dict[str, list[Any]] = {}
    blobs: dict[str, dict[str, None]] = {}
    for side, verdict in enumerate(verdicts):
        for told in figure_rows(house, verdict):
            task = f"{told['task']}, {told['metric']}"
            tasks.setdefault(task, []).extend((side, row["figure"]) for row in told["rows"])
            blobs.setdefault(task, {}).update({told["blob"]: None} if told["blob"] else {})
    found = []
    for task, figures in tasks.items():
        domain = plots.domain_of(
            plots.percent(edge) for _, figure in figures for edge in (figure.interval.low, figure.interval.high)
        )
        rows = [(side, figure, plots.of_interval(figure.interval, domain, None)) for side, figure in figures]
        found.append({"task": task, "rows": rows, "axis": plots.axis(domain), "blobs": list(blobs[task])})
    return found


def _checks_side_by_side(verdicts: list[Verdict | None]) -> list[tuple[str, list[Any]]]:
    names = dict.fromkeys(result.check for verdict in verdicts if verdict for result in verdict.results)
    sides = [{result.check: result for result in verdict.results} if verdict else {} for verdict in verdicts]
    return [(name, [side.get(name) for side in sides]) for name in names]


def _fits(entry: Entry, asked: dict[str, str]) -> bool:
    wanted = (("state", entry.state), ("verdict", entry.verdict), ("route", entry.route))
    return all(not asked[name] or asked[name] == value for name, value in wanted) and asked["name"] in entry.subject


PAGES = (
    Page("/releases", releases),
    Page("/releases/{subject}", release),
    Page("/releases/{subject}/fairness.html", fairness),
    Page("/compare", comparison),
)
