"""What a person sees: tables from the same values that `--json` prints. No rule is decided here."""

import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from rich import markup
from rich.console import Console
from rich.table import Table

COLOURS = {"PASS": "green", "FAIL": "red", "UNDECIDED": "yellow"}
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # but tabs and newlines
LOG_WIDTH = 150  # of what is no terminal and says nothing of its own width


def escape(text: str) -> str:
    """Text that people or files gave, as text: no markup of ours, and nothing that moves the cursor, colours what
    follows or turns the reading direction of a terminal."""
    return markup.escape(STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def console() -> Console:
    """Standard output, plain when it is not a terminal."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else LOG_WIDTH
    return Console(width=width, soft_wrap=True, highlight=False)


def show(value: dict[str, Any], view: Callable[[Console, dict[str, Any]], None], as_json: bool) -> None:
    """Print a value as JSON or through its view."""
    if as_json:
        console().print(json.dumps(value, indent=2), markup=False)
    else:
        view(console(), value)


def say(text: str) -> None:
    """One message on standard output."""
    console().print(escape(text))


def complain(text: str) -> None:
    """One message on the error stream."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(text)}")


def coloured(outcome: str | None) -> str:
    """PASS, FAIL or UNDECIDED in its colour; a dash when there is no verdict yet."""
    return f"[{COLOURS[outcome]}]{outcome}[/]" if outcome else "-"


def overview(out: Console, value: dict[str, Any]) -> None:
    """Candidates and releases, then routes."""
    table = Table("version", "state", "verdict", "attempt", "route", "adapter", "planned at", box=None)
    table.columns[0].no_wrap, table.columns[0].overflow = True, "fold"
    for row in value["candidates"]:
        table.add_row(
            row["version"], row["state"], coloured(row["verdict"]), str(row["attempt"]), row["route"],
            (row["adapter"] or "-")[:19], row["planned_at"][:19],
        )  # fmt: skip
    out.print(table if value["candidates"] else "nothing is recorded yet")
    for route in value["routing"]:
        out.print(f"route [bold]{route['alias']}[/] -> {route['champion'] or 'nothing'}{_beside(route)}")


def routes(out: Console, value: dict[str, Any]) -> None:
    """What each route points to, then how it was changed."""
    for route in value["routes"]:
        out.print(f"[bold]{route['alias']}[/] -> {route['champion'] or 'nothing'}{_beside(route)}")
        if route["before"]:
            out.print(f"  before: {', '.join(reversed(route['before']))}")
        if route["watched"]:
            _watched(out, route["watched"])
        for change in route["changes"]:
            out.print(escape(f"  {change['at'][:19]}Z {_changed(change)}"))
    if not value["routes"]:
        out.print("there is no route yet; the first release makes one")


def _watched(out: Console, canary: dict[str, Any]) -> None:
    """How far a canary is, and what it was found last."""
    waits = ", [yellow]waits for a person[/]" if canary["is_paused"] else ""
    out.print(f"  canary: stage {canary['stage']} of {canary['stages']} since {canary['since'][:19]}{waits}")
    decision = canary["decision"]
    if decision is None:
        out.print("  no gateway has looked at it yet")
        return
    out.print(escape(f"  {decision['action']}: {decision['reason']}"))
    table = Table("  guard", "canary", "champion", "evidence against it", box=None)
    for figure in decision["figures"]:
        sides = (_side(figure[arm]) for arm in ("canary", "champion"))
        table.add_row(f"  {figure['guard']}", *sides, f"10^{figure['evidence']:.2f} of 10^{figure['enough']:.2f}")
    out.print(table)


def _side(side: dict[str, Any]) -> str:
    return f"{side['value']:.4g} ({side['n']})" if side["n"] else "not measured"


def _changed(change: dict[str, Any]) -> str:
    """One event of a route, in words."""
    parts = [
        change["kind"].removeprefix("route-"),
        change.get("version") or change.get("ended") or change.get("canary"),
        change.get("place"),
    ]
    if change.get("place") in ("canary", "shadow"):
        parts.append(f"{change['share_bp'] / 100:g} %")
    found = f": {change['found']}" if change.get("found") else ""
    return " ".join(part for part in parts if part) + found


def _beside(route: dict[str, Any]) -> str:
    """What is worth saying of a route besides its champion."""
    parts = [
        f", {place} {route[place]} with {route[f'{place}_bp'] / 100:g} %"
        for place in ("canary", "shadow")
        if route[place]
    ]
    return "".join(parts) + (" [red]killed[/]" if route["killed"] else "")


def candidate(out: Console, value: dict[str, Any]) -> None:
    """One candidate: where it stands, why, and what made it."""
    place = f"  {value['place']} of its route" if value["place"] else ""
    out.print(f"[bold]{value['version']}[/]  {value['state']}  {coloured(value['verdict'])}{place}")
    if value["checks"]:
        _checks(out, value["checks"])
    if value["figures"]:
        _figures(out, value["figures"])
    _lineage(out, value["lineage"])
    for line in value["next"]:
        out.print(escape(line))


def _checks(out: Console, checks: list[dict[str, Any]]) -> None:
    table = Table("check", "outcome", "why", box=None)
    for check in checks:
        table.add_row(check["check"], coloured(check["outcome"]), escape(check["reason"]))
    out.print(table)


def _figures(out: Console, figures: list[dict[str, Any]]) -> None:
    table = Table("measured", "arm", "score [one-sided 95 % bounds]", "not measured", box=None)
    for figure in figures:
        told = [f"{reason}: {count}" for reason, count in figure["unmeasured"].items()]
        told += [f"scored but {doubt}: {count}" for doubt, count in figure.get("doubtful", {}).items()]
        lost = ", ".join(told) or "-"
        table.add_row(f"{figure['task']} {figure['metric']}", figure["arm"], escape(figure["text"]), escape(lost))
    out.print(table)


def _lineage(out: Console, lineage: dict[str, Any]) -> None:
    table = Table("made from", "", box=None)
    for key, item in lineage.items():
        if item is not None:
            table.add_row(key.replace("_", " "), escape(str(item)))
    out.print(table)


def comparison(out: Console, value: dict[str, Any]) -> None:
    """Several candidates side by side: scores with intervals, then verdicts with their reasons."""
    versions = value["versions"]
    table = Table("", *versions, box=None)
    table.add_row("verdict", *(coloured(value["verdicts"][version]) for version in versions))
    table.add_row("state", *(value["states"][version] for version in versions))
    for row in value["rows"]:
        table.add_row(row["label"], *(escape(row["cells"].get(version, "-")) for version in versions))
    out.print(table)
    for version in versions:
        for reason in value["reasons"][version]:
            out.print(escape(f"{version}: {reason}"))


def check_report(out: Console, value: dict[str, Any]) -> None:
    """Findings before training, and the loss mask on one example."""
    table = Table("", "check", "found", box=None)
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]look[/]", "fail": "[red]fail[/]"}
    for finding in value["findings"]:
        table.add_row(marks[finding["status"]], finding["name"], escape(finding["what"]))
    out.print(table)
    if value.get("example"):
        has_colour = out.is_terminal and not out.no_color
        before, after, how = ("[bold green]", "[/]", "is green") if has_colour else ("«", "»", "stands in « »")
        out.print(f"one row as the model sees it; what is learnt {how}:")
        shown = "".join(
            f"{before}{escape(part['text'])}{after}" if part["supervised"] else escape(part["text"])
            for part in value["example"]
        )
        out.print(shown)


def verify_report(out: Console, value: dict[str, Any]) -> None:
    """The ledger's health."""
    if value["ok"]:
        since = f", those from event {value['since']} on," if value["since"] else ","
        out.print(f"[green]verified[/] {value['size']} events{since} root {value['root']}")
    else:
        out.print(f"[red]not verified[/]: {len(value['problems'])} problems in {value['size']} events")
    for seen in value.get("witnesses", ()):
        out.print(escape(f"  witness {seen['name']} has seen {seen['size']} events"))
    for problem in value["problems"]:
        out.print(escape(f"  {problem['where']}: {problem['what']}"))
    for note in value.get("notes", ()):
        out.print(escape(f"  note: {note}"))


def bundle(out: Console, value: dict[str, Any]) -> None:
    """What a bundle proves."""
    out.print("[green]verified[/] by the bundle alone:")
    for key, item in value.items():
        out.print(escape(f"  {key.replace('_', ' ')}: {item}"))


def key(out: Console, value: dict[str, Any]) -> None:
    """A new key."""
    out.print(f"key {value['key_id']} of {escape(value['name'])}, private half in {escape(value['private'])}")


def api_key(out: Console, value: dict[str, Any]) -> None:
    """A new API key, in the clear."""
    out.print(f"API key {value['key_id']} '{escape(value['name'])}' may {', '.join(value['scopes'])}; shown only now:")
    out.print(value["key"])
    if value.get("no_route_yet"):
        missing = ", ".join(value["no_route_yet"])
        out.print(escape(f"no release answers yet on {missing}; 'tunegate routes' names the routes"))
    if value.get("replaces"):
        out.print(f"{value['replaces']} ends in a day; 'tunegate keys revoke {value['replaces']}' ends it now")


def api_keys(out: Console, value: dict[str, Any]) -> None:
    """API keys, without their secrets."""
    table = Table("key", "name", "state", "may", "routes", "limits", "expires", box=None)
    for key in value["keys"]:
        limits = [f"{name}={limit}" for name, limit in key["limits"].items() if limit is not None]
        table.add_row(
            key["key_id"], escape(key["name"]), key["state"], ", ".join(key["scopes"]),
            "all" if key["models"] is None else ", ".join(key["models"]), ", ".join(limits) or "-",
            (key["expires"] or "never")[:19],
        )  # fmt: skip
    out.print(
        table if value["keys"] else "there is no API key yet; 'tunegate keys create NAME --scope infer' makes one"
    )


def declared(out: Console, value: dict[str, Any]) -> None:
    """What was declared, and how much stays open."""
    fields = ", ".join(value["declared"])
    told = f"declared, as event {value['event']}: {fields}" if fields else "nothing new was declared"
    out.print(escape(f"{told}; {value['open']} points of its documents stay open"))


def user(out: Console, value: dict[str, Any]) -> None:
    """One user."""
    out.print(escape(f"user {value['name']} is {', '.join(value['roles'])}; key {value['key_id'] or 'none'}"))
    if not value["has_password"]:
        out.print(escape(f"no password is set yet: 'tunegate users password {value['name']}'"))


def users(out: Console, value: dict[str, Any]) -> None:
    """Users and their roles."""
    table = Table("name", "state", "roles", "key", "password", "added at", box=None)
    for user in value["users"]:
        table.add_row(
            escape(user["name"]), user["state"], ", ".join(user["roles"]), user["key_id"] or "-",
            "set" if user["has_password"] else "-", user["added_at"][:19],
        )  # fmt: skip
    nobody = "there is no user yet, so nobody is asked for a role; 'tunegate users add NAME --role admin' begins that"
    out.print(table if value["users"] else nobody)


def backtest(out: Console, value: dict[str, Any]) -> None:
    """What a policy would have said about the past."""
    for row in value["rows"]:
        verdict = f"{coloured(row['before'])} -> {coloured(row['after'])}" if row["changed"] else coloured(row["after"])
        out.print(f"[bold]{row['subject']}[/]  {verdict}" + ("" if row["repeats"] else "  [red]the record differs[/]"))
        for check in row["checks"]:
            out.print(
                escape(f"  {check['check']}: {check['before'] or 'none'} -> {check['after'] or 'none'}: {check['why']}")
            )
        if row["approvals_given"] < row["approvals_asked"]:
            out.print(f"  approvals: {row['approvals_given']} were given, {row['approvals_asked']} would be asked for")
    for subject, why in value["skipped"].items():
        out.print(escape(f"{subject} could not be judged: {why}"))
    out.print(f"{value['changed']} of {len(value['rows'])} verdicts would change under '{escape(value['name'])}'")


def policies(out: Console, value: dict[str, Any]) -> None:
    """Policies by their place."""
    for place, found in value.items():
        for said in found:
            out.print(escape(f"{place.replace('_', ' ')}: {said['name']} {said['version']}  {said['policy']}"))
    if not value["in_force"]:
        out.print("no policy was approved yet: any policy file may be planned with")


def traced(out: Console, value: dict[str, Any]) -> None:
    """An answer or a release back to its data."""
    release = value
    if "release" in value:
        out.print(escape(f"answer {value['id']} on {value['alias']}: {value['version']} as {value['arm']}"))
        release = value["release"]
    place = f", {release['place']} of {release['route']}" if release["place"] else ""
    out.print(escape(f"{release['version']}  {release['state']}{place}"))
    table = Table("from", "", box=None)
    for given in release["approvals"]:
        who = escape(given["person"] or given["approver"])
        table.add_row("decision", f"{given['decision']} by {who}, event {given['event']}")
    verdict = release["verdict"] or {}
    table.add_row("verdict", f"{verdict.get('outcome', '-')} {verdict.get('verdict', '')}")
    for name in ("adapter", "statement", "policy", "config", "base"):
        table.add_row(name, release[name] or "-")
    for blob in release["evidence"]:
        table.add_row("evidence", blob)
    if release["data"]:
        data = release["data"]
        gone = f", {len(data['erased'])} of them erased" if data["erased"] else ""
        table.add_row("data", f"{data['rows']}: {data['kept']} of {data['read']} rows{gone}")
    out.print(table)
    if release["trained_as"]:
        out.print(f"trained as {release['trained_as']['version']}:")
        traced(out, release["trained_as"])


def traced_rows(out: Console, value: dict[str, Any]) -> None:
    """Rows forward to what learnt from them."""
    for row in value["rows"]:
        out.print(escape(f"{row['row']}{' erased' if row['erased'] else ''}"))
    _affected(out, value["candidates"])
    where = ", ".join(f"{row['route']} ({row['place']})" for row in value["routes"]) or "no route"
    out.print(escape(f"answers on: {where}"))


def erasure(out: Console, value: dict[str, Any]) -> None:
    """What was erased, or would be; candidates as they were before it."""
    for row in value["rows"]:
        out.print(escape(f"{row['row']}  {row.get('text', 'erased')}"))
    _affected(out, value["candidates"], "before")
    if value["request_texts"]:
        out.print(f"{value['request_texts']} texts of requests")
    for blob in value["in_evaluations"]:
        out.print(f"{blob}: an evaluation's items or answers speak of it too; that is not erased")
    for backup in value["backups"]:
        out.print(escape(f"backup {backup['archive']}: {backup['found']}" if value["done"] else f"backup {backup}"))
    out.print(
        "what the rows were read from (a file, the hub) keeps them: take them out there too, before the next training"
        if value["done"]
        else "nothing was erased; give --reason to do it"
    )


def _affected(out: Console, candidates: list[dict[str, Any]], when: str = "") -> None:
    table = Table("learnt from it", f"state {when}".strip(), "place", "route", "what follows", box=None)
    for row in candidates:
        follows = row.get("fate") or "-"
        due = f", due {row['due'][:10]}" if row.get("due") else ""
        table.add_row(row["version"], row["state"], row["place"] or "-", row["route"], follows + due)
    out.print(table if candidates else "nothing learnt from it")


def witnesses(out: Console, value: dict[str, Any]) -> None:
    """How far each witness has seen."""
    for row in value["witnesses"]:
        out.print(escape(f"{row['name']} has seen {row['size']} of {value['size']} events"))
    if not value["witnesses"]:
        out.print("there is no witness yet; 'tunegate witness add VKEY' makes one known")


def reproduced(out: Console, value: dict[str, Any]) -> None:
    """What matched when it was made again."""
    table = Table("", "what", "how", box=None)
    marks = {"same": "[green]same[/]", "within": "[green]within[/]", "different": "[red]different[/]"}
    for finding in value["findings"]:
        mark = marks.get(finding["result"], f"[yellow]{finding['result']}[/]")
        table.add_row(mark, finding["what"], escape(finding["how"]))
    out.print(table)
    if value["inputs_match"] is not None:
        out.print("nothing was trained: only what went in was compared")


def garbage(out: Console, value: dict[str, Any]) -> None:
    """What the store holds beyond the ledger's needs."""
    verb = "deleted" if value["deleted"] else "can be deleted with --delete"
    out.print(f"{len(value['blobs'])} files, {value['bytes'] / 2**20:.1f} MiB, {verb}")
    if value["request_texts"] or value["request_rows"]:
        kept = f"{value['request_texts']} texts and {value['request_rows']} rows of requests"
        out.print(f"{kept} were kept for their time, {verb}")


def doctor(out: Console, value: dict[str, Any]) -> None:
    """The installation, finding by finding."""
    table = Table("", "what", "found", "to do", box=None)
    for finding in value["findings"]:
        mark = "[green]ok[/]" if finding["ok"] else "[red]fail[/]"
        table.add_row(mark, finding["name"], escape(finding["found"]), escape(finding["fix"]))
    out.print(table)
