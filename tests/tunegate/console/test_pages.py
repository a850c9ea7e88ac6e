"""Each page for each role, the way from waiting to promoted, and what people type shown as nothing but text."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from governance.people import DENIED
from governance.roles import ROLES, may
from tunegate import api_keys, users
from tunegate.console.app import PAGES
from tunegate.console.releases import figure_rows
from tunegate.console.showing import percent
from tunegate.house import House
from tunegate.recording import append, record_once, standing, verdict_of
from tunegate.tracing import trace_release

Visitor = Callable[..., Any]
PASSWORD = "correct horse battery"
PARTS = {"subject": "bot@1", "alias": "bot", "seq": "0", "task": "facts", "name": "none", "key_id": "0" * 16,
         "kind": "model-card", "suffix": "json", "batch": "0"}  # fmt: skip
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}"
ROWS = ['{"prompt": "<script>alert(1)</script>", "completion": "x"}', "<img src=x onerror=alert(1)>"]


def address(house: House, path: str) -> str:
    """The page's path about things that there are."""
    planned = standing(house, "bot@1").planned
    parts = {**PARTS, "digest": planned.policy, "commitment": with_data(house)}
    return path.format(**parts)


def with_data(house: House) -> str:
    """A planned candidate, bot@6, with training rows and a source that were written to do harm."""
    planned = standing(house, "bot@5").planned
    rows = house.rows.put(ROWS)
    if house.ledger.by_key("plan/6") is None:
        counts = dict.fromkeys(
            (
                "read",
                "kept",
                "truncated",
                "empty",
                "over_long",
                "duplicate",
                "near_duplicate",
                "overlapping_items",
                "unsupervised",
            ),
            2,
        )
        data = {
            "source": EVIL,
            "rows": rows,
            "lineage": planned.policy,
            "counts": counts,
            "tokens": 1,
            "supervised_tokens": 1,
        }
        body = {**planned.model_dump(mode="json"), "version": 6, "run": "run-6", "data": data, "source_adapter": None}
        with house.ledger.write() as tx:
            append(house, tx, "bot@6", "planned", body, "plan/6")
    return rows


def waiting(house: House, version: int, like: str = "bot@4", **plan: Any) -> str:
    """Another candidate like bot@4, which waits for an approval, with another plan."""
    told, subject = standing(house, like), f"bot@{version}"
    body = {**told.planned.model_dump(mode="json"), "version": version, "run": f"run-{version}", **plan}
    with house.ledger.write() as tx:
        append(house, tx, subject, "planned", body, f"plan/{version}")
    for kind in ("sealed", "examined", "judged"):
        record_once(house, subject, kind, lambda kind=kind: told.body(kind))
    return subject


def verdict(house: House, subject: str) -> str:
    return str(standing(house, subject).body("judged")["verdict"])


@pytest.mark.parametrize("role", ROLES)
def test_every_page_for_every_role(visitor: Visitor, house: House, role: str) -> None:
    """A role opens what the table of roles says and nothing else; each no is recorded. Forms are sent empty."""
    browser, refused = visitor(role), 0
    token = browser.token()
    for page in PAGES:
        if page.right is None or page.path == "/logout":
            continue
        path = address(house, page.path)
        if page.method == "GET":
            there = 404 if path.startswith(("/annotate/", "/feedback/")) else 200  # nobody rates or says anything here
            answer = browser.get(path)
            assert answer.status_code == (there if may(role, page.right) else 403), (path, answer.text)
        else:
            answer = browser.post(path, data={"csrf": token}, follow_redirects=False)
            expected = {400, 404} if may(role, page.right) else {403}
            assert answer.status_code in expected, (path, answer.text)
        refused += not may(role, page.right)
    recorded = [event.body for event in house.ledger.events(DENIED)]
    assert len(recorded) == refused
    assert all(body["rule"] == "role" and body["by"] == users.named(house, role).user_id for body in recorded)


def test_nothing_is_shown_or_done_without_a_login(visitor: Visitor, house: House) -> None:
    browser = visitor()
    token = browser.token()
    for page in PAGES:
        if page.right is None:
            continue
        path = address(house, page.path)
        for given in ({}, {"csrf": token, "reason": "x"}):
            answer = browser.request(page.method, path, data=given or None, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login"), path


def test_from_waiting_to_promoted_and_back(visitor: Visitor, house: House) -> None:
    """Each step is recorded as done by the key of who did it, with their words."""
    reviewer, operator = visitor("reviewer"), visitor("operator")
    assert "bot@4" in reviewer.get("/").text
    page = reviewer.fill("/releases/bot@4/approve", reason="looks right", verdict=verdict(house, "bot@4"))
    assert (
        page.url.path == "/releases/bot@4" and "approved; bot@4 is released" in page.text and "looks right" in page.text
    )
    assert "nobody is answered by it" in page.text and "An operator may promote it" in page.text
    assert 'href="/routes/bot?version=bot@4"' in operator.get("/").text and ">promote it<" not in reviewer.get("/").text
    assert 'name="version" value="bot@4"' in operator.get("/routes/bot?version=bot@4").text
    for path, fields in (
        ("promote", {"version": "bot@4", "place": "canary", "share": "12.5"}),
        ("promote", {"version": "bot@4", "place": "champion", "share": ""}),
        ("rollback", {}),
        ("kill", {}),
    ):
        page = operator.fill(f"/routes/bot/{path}", reason=f"because {path}", **fields)
        assert page.status_code == 200 and f"because {path}" in page.text, page.text
    assert "Route bot is stopped" in operator.get("/").text
    operator.fill("/routes/bot/unkill", reason="again")
    assert ">promote it<" not in operator.get("/").text  # it was rolled back
    events = house.ledger.events(subject="bot")
    kinds = ["route-promoted", "route-promoted", "route-rolled-back", "route-killed", "route-unkilled"]
    assert [event.kind for event in events] == kinds
    assert {event.actor for event in events} == {users.named(house, "operator").key_id}
    assert events[0].body["share_bp"] == 1250
    assert standing(house, "bot@4").body("approval")["approver"] == users.named(house, "reviewer").key_id
    assert [given["person"] for given in trace_release(house, "bot@4")["approvals"]] == ["reviewer"]
    assert visitor("operator").fill("/releases/bot@4/revoke", reason="harm").status_code == 200
    assert house.registry().entries["bot@4"].state == "Revoked"


def test_a_decision_needs_a_reason_and_the_verdict_that_was_seen(visitor: Visitor, house: House) -> None:
    browser, seen = visitor("reviewer"), verdict(house, "bot@4")
    for given in ({"reason": "  ", "verdict": seen}, {"reason": "x" * 2001, "verdict": seen}, {"reason": "x"}):
        assert browser.fill("/releases/bot@4/approve", **given).status_code == 400
    assert browser.fill("/releases/bot@4/approve", reason="x", verdict="sha256:" + "0" * 64).status_code == 400
    assert not standing(house, "bot@4").has("approval")
    assert browser.fill("/releases/bot@4/refuse", reason="no", verdict=seen).status_code == 200
    assert house.registry().entries["bot@4"].state == "Refused"


def test_who_started_a_run_does_not_approve_it(visitor: Visitor, house: House) -> None:
    subject = waiting(house, 7, starter=users.named(house, "reviewer").key_id)
    browser = visitor("reviewer")
    first = browser.get("/").text
    assert first.index("For somebody else") < first.index(subject)  # not lost from sight, nor among what waits for them
    page = browser.get(f"/releases/{subject}").text
    assert (
        "you started this run" in page and f'action="/releases/{subject}/approve"' in page and ">Approve<" not in page
    )
    answer = browser.fill(f"/releases/{subject}/approve", reason="mine", verdict=verdict(house, subject))
    assert answer.status_code == 403
    assert [event.body["rule"] for event in house.ledger.events(DENIED)] == ["policy"]
    assert not standing(house, subject).has("approval")


def test_an_approval_is_taken_back(visitor: Visitor, house: House) -> None:
    rule = standing(house, "bot@4").planned.approvals.model_dump()
    subject, browser = waiting(house, 9, approvals={**rule, "required": 2}), visitor("reviewer")
    given = {"reason": "yes", "verdict": verdict(house, subject)}
    assert "waits for 1 more" in browser.fill(f"/releases/{subject}/approve", **given).text
    assert "you have approved it already" in browser.get(f"/releases/{subject}").text
    assert browser.fill(f"/releases/{subject}/approve", **given).status_code == 403
    page = browser.fill(f"/releases/{subject}/recall", **{**given, "reason": "too early"}).text
    assert "Took it back" in page and "too early" in page and ">Approve<" in page
    assert "0 of 2 approvals" in browser.get("/").text


def test_an_undecided_verdict_is_released_only_where_the_policy_says_who(visitor: Visitor, house: House) -> None:
    browser, seen = visitor("reviewer"), {"reason": "known risk", "verdict": verdict(house, "bot@3")}
    assert "Your decision" not in browser.get("/releases/bot@3").text
    assert browser.fill("/releases/bot@3/approve", **seen).status_code == 400
    rule = standing(house, "bot@3").planned.approvals.model_dump()
    open_to = {**rule, "override": {"required": 1, "roles": ["reviewer"]}}
    subject = waiting(house, 10, like="bot@3", approvals=open_to)
    assert "Release it all the same" in browser.get(f"/releases/{subject}").text
    assert browser.fill(f"/releases/{subject}/approve", **seen).status_code == 200
    assert house.registry().entries[subject].state == "Released"


def test_two_reviewers_at_once(visitor: Visitor, house: House) -> None:
    """Both press the button at the same time, twice each: each key counts once, and one release follows."""
    rule = standing(house, "bot@4").planned.approvals.model_dump()
    subject = waiting(house, 8, approvals={**rule, "required": 2})
    users.add(house, "other", ["reviewer"])
    users.set_password(house, "other", PASSWORD)
    browsers = [visitor(name) for name in ("reviewer", "other", "reviewer", "other")]
    seen, tokens, codes = verdict(house, subject), [browser.token() for browser in browsers], []
    start = threading.Barrier(len(browsers))

    def press(browser: Any, token: str) -> None:
        start.wait()
        given = {"csrf": token, "reason": "yes", "verdict": seen}
        codes.append(browser.post(f"/releases/{subject}/approve", data=given, follow_redirects=False).status_code)

    threads = [threading.Thread(target=press, args=pair) for pair in zip(browsers, tokens, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [event.kind for event in standing(house, subject).events]
    assert kinds.count("approval") == 2 and kinds.count("released") == 1
    assert codes.count(303) >= 2 and set(codes) <= {303, 400, 403}
    assert house.ledger.verify([house.public_key]).ok


def test_what_people_type_is_shown_as_text(visitor: Visitor, house: House) -> None:
    with_data(house)
    api_keys.create(house, EVIL[:199], ["infer"])
    note = house.ledger.append("note", {"text": EVIL}, subject="<b>x</b>")
    house.ledger.checkpoint()
    house.run_folder("bot@6").mkdir(parents=True)
    (house.run_folder("bot@6") / "progress.jsonl").write_text('{"step": 1, "loss": 2.5, "tokens_per_s": 9}\n{"step"')
    house.journal("bot@6").write_text('{"at": "2026", "stage": "<script>alert(1)</script>", "done": 1, "total": 2}\n')
    reviewer, admin = visitor("reviewer"), visitor("admin")
    reviewer.fill("/releases/bot@4/refuse", reason=EVIL, verdict=verdict(house, "bot@4"))
    rows = house.rows.put(ROWS)
    paths = [
        "/releases/bot@4", "/releases/bot@6", "/data", f"/data/{rows}", "/people", f"/ledger/{note.seq}", "/runs",
        "/runs/bot@6", "/ledger", "/ledger?kind=note", "/records/" + standing(house, "bot@1").planned.config,
    ]  # fmt: skip
    queries = [
        f"{path}?{name}={EVIL}"
        for path, name in (
            ("/releases", "name"),
            ("/releases", "state"),
            ("/ledger", "subject"),
            ("/compare", "a"),
            ("/login", "next"),
            ("/routes/bot", "version"),
        )
    ]
    for path in [*paths, *queries, f"/compare?a=bot@1&b={EVIL}", f"/releases/{EVIL}", f"/nowhere/{EVIL}"]:
        text = admin.get(path).text
        assert "<script>alert" not in text and "<img src=x" not in text and "<b>x" not in text, path
    assert "&lt;/script&gt;" in admin.get("/releases/bot@4").text
    assert "<script>" not in admin.get("/runs/bot@6/live.json").json()["curve"]


def test_what_a_form_sends_back_is_text(visitor: Visitor, house: House) -> None:
    """Policies by their names, texts and faults; names at the login; a key's name; what was denied."""
    admin, reviewer = visitor("admin"), visitor("reviewer")
    named = POLICY.replace("harsher", json.dumps(EVIL)).replace("id: better", f"id: {json.dumps(EVIL)}")
    answers = [admin.fill(f"/policies/{verb}", policy=named, reason=EVIL) for verb in ("backtest", "propose")]
    answers += [admin.fill(f"/policies/{verb}", policy=EVIL, reason=EVIL) for verb in ("backtest", "propose")]
    answers += [
        admin.fill("/people/keys", name=EVIL[:199], infer="1", days=EVIL),
        reviewer.fill("/releases/bot@4/approve", reason=EVIL, verdict=EVIL),
        reviewer.fill(f"/routes/{EVIL}/kill", reason=EVIL),
        visitor("operator").fill("/routes/bot/promote", version=EVIL, place=EVIL, share=EVIL, reason=EVIL),
        visitor().fill("/login", name=EVIL, password=EVIL, next=EVIL),
    ]
    answers += [admin.get(path) for path in ("/policies", "/people", "/ledger", "/")]
    for answer in answers:
        assert answer.status_code < 500 and answer.headers["content-type"].startswith("text/html")
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text, answer.url
    assert "&lt;/script&gt;" in answers[0].text


ABSENT = (
    "/releases/..%2f..%2fetc%2fpasswd", "/releases/bot@999", "/releases/bot@5/fairness.html",
    "/compare?a=bot@1&b=bot@1", "/runs/..%2f..%2fkeys/live.json", "/runs/bot@1%2f..%2fx", "/routes/nothing",
    "/data/rows:..%2f..",
    "/records/%00", "/records/sha256:..%2f..%2fx", "/records/sha256:" + "0" * 64,
    "/policies/sha256:" + "0" * 64, "/ledger/-1", "/ledger/1e9", "/ledger/" + "9" * 30, "/ledger/%F0%9D%9F%97",
    "/routes/nothing/fairness",
    "/releases/bot@1/documents/..%2fform", "/releases/bot@1/documents/model-card/file.exe",
    "/releases/bot@1/documents/model-card/file.%2e%2e%2fx", "/releases/bot@1/documents/change-log/file.json",
    "/releases/bot@2/documents/change-log?against=..%2f..%2fx", "/releases/bot@9/documents/model-card",
)  # fmt: skip


def test_what_is_not_there_is_not_there(visitor: Visitor) -> None:
    browser = visitor("auditor")
    for path in ABSENT:
        answer = browser.get(path)
        assert answer.status_code in (400, 404) and "Traceback" not in answer.text, path


def test_an_api_key_is_made_rotated_and_revoked(visitor: Visitor, house: House) -> None:
    """Each key is shown once; the old one goes on for a day, the revoked one opens nothing; each step is one event."""
    admin = visitor("admin")
    page = admin.fill("/people/keys", name="app", infer="1", days="30")
    first = str(api_keys.listed(house)["keys"][0]["key_id"])
    assert page.status_code == 200 and f"tg_{first}_" in page.text and "tg_" not in admin.get("/people").text
    page = admin.fill(f"/people/keys/{first}/rotate")
    old, new = api_keys.listed(house)["keys"]
    assert f"tg_{new['key_id']}_" in page.text and f"takes the place of {first}" in page.text
    assert old["replaced_by"] == new["key_id"] and old["state"] == "valid" and new["scopes"] == old["scopes"]
    text = admin.get("/people").text
    assert f"/people/keys/{first}/rotate" not in text and f"/people/keys/{new['key_id']}/rotate" in text
    assert f"/people/keys/{first}/revoke" in text and "tg_" not in text
    assert admin.fill(f"/people/keys/{first}/revoke").status_code == 400  # a reason is asked for
    admin.fill(f"/people/keys/{new['key_id']}/revoke", reason="leaked")
    assert [key["state"] for key in api_keys.listed(house)["keys"]] == ["valid", "revoked"]
    assert admin.fill(f"/people/keys/{new['key_id']}/rotate").status_code == 400
    key = users.named(house, "admin").key_id
    assert {event.actor for event in house.ledger.events(("api-key-created", "api-key-revoked"))} == {key}


def test_a_list_is_asked_and_turned(visitor: Visitor) -> None:
    browser = visitor("auditor")
    assert [name for name in ("bot@1", "bot@2", "bot@3") if name in browser.get("/releases?verdict=FAIL").text] == [
        "bot@2"
    ]
    assert "bot@5" in browser.get("/releases?state=Planned").text
    assert "No candidate is like this" in browser.get("/releases?name=nobody").text
    first = browser.get("/ledger").text
    assert "/ledger/0" in first and "before=" not in first
    assert browser.get("/ledger?kind=judged").text.count("<td>judged</td>") == 4


def test_a_proof_is_shown_and_a_broken_one_is_not(visitor: Visitor, house: House) -> None:
    browser = visitor("auditor")
    assert ">proved<" in browser.get("/ledger/3").text
    late = house.ledger.append("note", {})
    assert "this one came after it" in browser.get(f"/ledger/{late.seq}").text
    text = browser.get("/ledger/checkpoint.txt").text
    assert text.startswith("tunegate/")


def test_two_side_by_side_lead_to_their_evidence(visitor: Visitor, house: House) -> None:
    text = visitor("auditor").get("/compare?a=bot@1&b=bot@2").text
    for subject in ("bot@1", "bot@2"):
        blobs = standing(house, subject).body("examined")["evidence"]
        assert blobs and all(f'href="/records/{blob}"' in text for blob in blobs)


def test_a_figure_is_followed_to_its_record_and_to_the_event_that_names_it(visitor: Visitor, house: House) -> None:
    browser, now = visitor("auditor"), standing(house, "bot@1")
    seq = next(event.seq for event in now.events if event.kind == "examined")
    address = f"/records/{now.body('examined')['evidence'][0]}"
    assert f'href="{address}?event={seq}"' in browser.get("/releases/bot@1").text
    text = browser.get(f"{address}?event={seq}").text
    assert f'href="/ledger/{seq}"' in text and 'href="/releases/bot@1"' in text
    for row in figure_rows(house, verdict_of(house, now))[0]["rows"]:
        interval = row["figure"].interval
        assert f">{percent(interval.value)}</td>" in text
        assert row["figure"].arm == "candidate" or f"candidate minus {row['figure'].arm}" in text
    assert "Named by" not in browser.get(f"{address}?event={seq + 1}").text
    assert "Named by" not in browser.get(address).text
    config = browser.get(f"/records/{now.planned.config}").text
    assert "What follows from it" not in config


def test_only_rows_that_have_a_page_are_linked(visitor: Visitor, house: House) -> None:
    """Training data has one; a reason is shown with its decision and nowhere else."""
    rows, auditor = with_data(house), visitor("auditor")
    visitor("reviewer").fill("/releases/bot@4/refuse", reason="no", verdict=verdict(house, "bot@4"))
    planned, said = house.ledger.by_key("plan/6"), standing(house, "bot@4").events[-1]
    assert f'<a href="/data/{rows}">' in auditor.get(f"/ledger/{planned.seq}").text
    text = auditor.get(f"/ledger/{said.seq}").text
    assert said.body["reason"] in text and 'href="/data/rows' not in text


def test_pages_see_what_other_processes_record(visitor: Visitor, house: House) -> None:
    browser = visitor("auditor")
    assert "bot@6" not in browser.get("/releases").text
    with_data(House(house.home, house.database))
    assert "bot@6" in browser.get("/releases").text
    assert browser.get("/data").text.count('href="/releases/bot@6"') == 1


def test_who_took_over_an_adapter_learnt_from_its_data_too(visitor: Visitor, house: House) -> None:
    rows = with_data(house)
    waiting(house, 7, source_adapter="bot@6")
    waiting(house, 8, source_adapter="bot@7")
    text = visitor("auditor").get(f"/data/{rows}").text
    assert 'Who learns from it <span class="count">3</span>' in text and "bot@8" in text


def test_an_erased_row_is_shown_as_erased(visitor: Visitor, house: House) -> None:
    rows = with_data(house)
    house.rows.erase(rows, 0)
    text = visitor("auditor").get(f"/data/{rows}").text
    assert '<p class="muted">erased</p>' in text and "prompt" not in text


def test_what_an_erasure_ended_is_told_where_people_look(visitor: Visitor, house: House) -> None:
    """The release's story names the erasure, not a person's wish; the route says what was taken from it."""
    browser = visitor("auditor")
    assert "by its release, champion is" in browser.get("/routes/bot").text
    with house.ledger.write() as tx:
        body = {"by": house.person_key(house.person).key_id, "reason": None, "erased": 3}
        revoked = append(house, tx, "bot@1", "revoked", body, "bot@1/revoked")
        append(house, tx, "bot@4", "withdrawn", {"erased": 3}, "bot@4/withdrawn")
    text = browser.get("/releases/bot@1").text
    assert "Its data was erased (event 3)" in text and "Withdrawn by a person" not in text
    route = browser.get("/routes/bot").text
    assert "taken away, as it was withdrawn:" in route and f'href="/ledger/{revoked.seq}' in route
    text = browser.get("/releases/bot@4").text
    assert "Data that it learnt from was erased before it was released" in text and "It is on its way" not in text
    assert 'Live <span class="count">0</span>' in browser.get("/").text


POLICY = """
name: harsher
checks:
  - {id: better, kind: superior, task: facts, against: base, margin: 0.5}
approvals: {required: 1}
"""


def test_a_policy_is_tried_proposed_and_approved(visitor: Visitor, house: House) -> None:
    admin, reviewer = visitor("admin"), visitor("reviewer")
    before = house.ledger.size()
    page = reviewer.fill("/policies/backtest", policy=POLICY).text
    assert "What harsher would have said" in page and "3 of 4 verdicts would be another" in page
    for text in ("", "name: x", "{{", "- <script>alert(1)</script>"):
        answer = reviewer.fill("/policies/backtest", policy=text)
        assert answer.status_code == 400 and "<script>alert" not in answer.text
    assert house.ledger.size() == before
    assert reviewer.fill("/policies/propose", policy=POLICY, reason="x").status_code == 403
    assert "harsher 1 is proposed" in admin.fill("/policies/propose", policy=POLICY, reason="harm is dear").text
    assert admin.fill("/policies/approve/harsher", reason="mine too").status_code == 403
    assert "is in force" in reviewer.fill("/policies/approve/harsher", reason="agreed").text
    assert "harsher 1" in visitor("auditor").get("/policies").text


def test_scores_in_doubt_stand_beside_what_was_not_measured(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunegate.console import releases

    read = releases.verdict_of

    def doubted(house: House, now: Any) -> Any:
        found = read(house, now)
        assert found is not None
        figures = tuple(figure.model_copy(update={"doubtful": {"cut off": 7}}) for figure in found.figures)
        return found.model_copy(update={"figures": figures})

    browser = visitor("auditor")
    assert "scored but" not in browser.get("/releases/bot@1").text
    monkeypatch.setattr(releases, "verdict_of", doubted)
    assert browser.get("/releases/bot@1").text.count("scored but cut off: 7") == 2  # candidate and base
