"""Routes as the verbs change them: one event each, published at once, the same in list, show, plan and snapshot."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from governance.routing import Why
from serving.decide import decide
from serving.errors import Refusal
from serving.keys import authenticate
from serving.live import Live
from tunegate import api_keys, deciding, proving, publishing, reading, routing, steps
from tunegate.canaries import stage_event
from tunegate.cli import app
from tunegate.house import House
from tunegate.recording import standing
from tunegate.route_verbs import basis_points
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.snapshot import Route, Snapshot, Staleness, verify_snapshot

GAIN, HARM = (60, 4, 200), (4, 60, 200)


@pytest.fixture
def house(told: Any) -> House:
    """bot@1, bot@2 and bot@3 are released; bot@1 is the champion of the route bot."""
    for version in (1, 2, 3):
        told.judge(told.plan(version), GAIN)
    found: House = told.house
    return found


def published(house: House) -> Snapshot:
    """What a gateway would take, verified as it does it."""
    return verify_snapshot(publishing.snapshot_file(house).read_bytes(), parse_public_key(house.public_key))


def route(house: House) -> Route:
    """The route, which the ledger and the published snapshot agree on."""
    snapshot = published(house)
    assert snapshot.epoch == house.ledger.size()
    assert snapshot.routes == (house.registry().state("bot").route,)
    return snapshot.routes[0]


def run(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


def test_a_release_publishes_its_grant_and_makes_the_route(house: House) -> None:
    assert route(house) == Route(alias="bot", champion="bot@1")
    now = standing(house, "bot@2")
    grant = published(house).grant_by_subject()["bot@2"]
    assert (grant.adapter, grant.base) == (now.adapter.tree, now.planned.base.tree)
    assert grant.statement == now.body("released")["statement"]


def test_each_change_is_one_event_and_published(house: House) -> None:
    changes: list[tuple[Callable[[], Any], dict[str, Any]]] = [
        (lambda: routing.promote(house, "bot@2", "canary", 1000), {"canary": "bot@2", "canary_bp": 1000}),
        (lambda: routing.promote(house, "bot@3", "shadow", 500), {"shadow": "bot@3", "shadow_bp": 500}),
        (lambda: routing.kill(house, "bot"), {"killed": True}),
        (lambda: routing.unkill(house, "bot"), {"killed": False}),
        (lambda: routing.promote(house, "bot@2", "champion"), {"champion": "bot@2", "canary": None, "canary_bp": 0}),
        (lambda: routing.roll_back(house, "bot"), {"champion": "bot@1"}),
    ]
    expected = route(house).model_dump()
    for change, difference in changes:
        size = house.ledger.size()
        change()
        expected |= difference
        assert route(house).model_dump() == expected
        assert house.ledger.size() == size + 1
    kinds = [
        "route-promoted",
        "route-promoted",
        "route-killed",
        "route-unkilled",
        "route-promoted",
        "route-rolled-back",
    ]
    assert [event.kind for event in house.ledger.events(subject="bot")] == kinds
    assert proving.verify(house, None)["ok"]


def test_the_same_again_is_no_event_but_published(house: House) -> None:
    """After a crash between the event and its publication, the same command finishes it."""
    for change in (
        lambda: routing.promote(house, "bot@2", "canary", 100),
        lambda: routing.promote(house, "bot@2", "champion"),
        lambda: routing.kill(house, "bot"),
        lambda: deciding.revoke(house, "bot@3", "operator", "bad"),
    ):
        change()
        size = house.ledger.size()
        publishing.snapshot_file(house).unlink()
        change()
        assert (house.ledger.size(), published(house).epoch) == (size, size)


def test_a_release_that_serving_has_not_heard_of_is_published_by_the_next_run(house: House) -> None:
    publishing.snapshot_file(house).unlink()
    steps.publish(house, standing(house, "bot@3").planned)
    assert "bot@3" in published(house).grant_by_subject()


def test_only_a_release_can_be_promoted(told: Any, house: House) -> None:
    told.judge(told.plan(4), HARM)
    deciding.revoke(house, "bot@3", "operator", "bad")
    size = house.ledger.size()
    for version, found in (("bot@4", "refused"), ("bot@3", "revoked")):
        with pytest.raises(BadInput, match=f"{version} is {found}; only a release can be promoted"):
            routing.promote(house, version, "champion")
    with pytest.raises(NotFound, match=r"there is no bot@9; there are: bot@1"):
        routing.promote(house, "bot@9", "champion")
    for change in (routing.roll_back, routing.kill, routing.unkill):
        with pytest.raises(NotFound, match="there is no route desk; there are: bot"):
            change(house, "desk")
    assert house.ledger.size() == size


def test_a_revoked_version_leaves_at_once(house: House) -> None:
    routing.promote(house, "bot@2", "champion")
    routing.promote(house, "bot@3", "canary", 10)
    assert deciding.revoke(house, "bot@3", "operator", "bad") == "bot@3 is revoked; it may not answer any more"
    assert (route(house).champion, route(house).canary) == ("bot@2", None)
    said = deciding.revoke(house, "bot@2", "operator", "worse")
    assert "nothing answers on the route bot now; 'tunegate rollback bot' returns to bot@1" in said
    assert route(house).champion is None
    assert set(published(house).grant_by_subject()) == {"bot@1"}
    routing.roll_back(house, "bot")
    assert route(house).champion == "bot@1"
    assert "promote another release" in deciding.revoke(house, "bot@1", "operator", "all of it")


def test_list_show_and_plan_follow_the_route(told: Any, house: House) -> None:
    routing.promote(house, "bot@2", "champion")
    routing.promote(house, "bot@3", "canary", 1250)
    assert reading.overview(house)["routes"] == {"bot": "bot@2"}
    assert "route bot -> bot@2, canary bot@3 with 12.5 %" in run("list").output
    places = {subject: reading.candidate(house, subject)["place"] for subject in ("bot@1", "bot@2", "bot@3")}
    assert places == {"bot@1": None, "bot@2": "champion", "bot@3": "canary"}
    assert "canary of its route" in run("show", "bot@3").output
    assert house.registry().champion("bot") == "bot@2"


def test_a_route_is_no_candidate(house: House) -> None:
    routing.kill(house, "bot")
    with pytest.raises(NotFound, match="there is no bot; there are: bot@1"):
        reading.candidate(house, "bot")


def test_promotion_says_when_the_champion_is_not_the_one_it_was_judged_against(told: Any, house: House) -> None:
    assert "note: bot@2 was judged against the base alone, not bot@1" in routing.promote(house, "bot@2", "canary", 10)
    champion = standing(house, "bot@1").adapter.tree
    told.judge(told.plan(4, "bot@1"), GAIN, champion)
    routing.roll_back(house, "bot")
    assert "note" not in routing.promote(house, "bot@4", "champion")


def stage(house: House) -> int:
    """The event that gave the canary its share."""
    found = stage_event(house.ledger.events(), house.registry().state("bot"))
    assert found is not None
    return found.seq


def test_the_canary_analysis_leaves_alone_what_a_person_has_moved(house: House) -> None:
    why = Why(found="errors: 7 of 9", analysis=house.store.put_json({"errors": 7}))
    routing.promote(house, "bot@2", "canary", 100)
    first = stage(house)
    assert routing.advance(house, "bot", first, 2500, why)
    assert route(house).canary_bp == 2500
    for do in (routing.withdraw, routing.pause):
        assert not do(house, "bot", first, why)
    assert routing.withdraw(house, "bot", stage(house), why)
    assert house.ledger.events()[-1].body == {
        "ended": "bot@2", "champion": "bot@1", "analysis": why.analysis, "found": "errors: 7 of 9", "reason": None,
    }  # fmt: skip
    routing.promote(house, "bot@2", "canary", 2500)
    again = stage(house)
    routing.promote(house, "bot@2", "canary", 3000)
    routing.promote(house, "bot@2", "canary", 2500)
    size = house.ledger.size()
    assert not routing.advance(house, "bot", again, 5000, why)
    routing.promote(house, "bot@3", "champion")
    assert not routing.withdraw(house, "bot", again, why)
    assert (house.ledger.size(), route(house).champion) == (size + 1, "bot@3")


def test_a_canary_that_gets_all_is_the_champion(house: House) -> None:
    routing.promote(house, "bot@2", "canary", 5000)
    assert routing.advance(house, "bot", stage(house), 10_000, Why(found="equal"))
    assert (route(house).champion, route(house).canary, house.registry().state("bot").before) == (
        "bot@2", None, ("bot@1",),
    )  # fmt: skip


def test_a_paused_canary_goes_on_when_a_person_says_so(house: House) -> None:
    routing.promote(house, "bot@2", "canary", 1000)
    size, before = house.ledger.size(), stage(house)
    for _ in range(2):
        assert routing.pause(house, "bot", before, Why(found="too few"))
    assert (house.ledger.size(), stage(house)) == (size + 1, before)
    assert house.registry().state("bot").paused
    assert "waits for a person" in run("routes").output
    routing.promote(house, "bot@2", "canary", 1000)
    assert stage(house) > before
    assert not house.registry().state("bot").paused


def test_a_canary_begins_with_the_share_of_its_own_first_stage(told: Any, house: House) -> None:
    said = "bot -> bot@1, canary bot@{} with {}"
    assert said.format(2, "10 %") in run("promote", "--canary", "bot@2").output
    told.serving = {"canary": {"stages": [{"percent": 2.5}, {"percent": 20}]}}
    told.judge(told.plan(4), GAIN)
    run("rollback", "bot")
    assert said.format(4, "2.5 %") in run("promote", "bot@4", "--canary", "--reason", "it is time").output
    shown = json.loads(run("routes", "--json").output)["routes"][0]["watched"]
    assert {**shown, "since": ""} == {
        "stage": 1, "stages": 2, "since": "", "is_paused": False, "looked_at": None, "decision": None,
    }  # fmt: skip
    assert "no gateway has looked at it yet" in run("routes").output
    assert said.format(4, "20 %") in run("promote", "bot@4", "--canary", "20%").output


def test_figures_that_were_changed_are_found(house: House) -> None:
    figures = house.store.put_json({"errors": 7})
    routing.promote(house, "bot@2", "canary", 100)
    routing.withdraw(house, "bot", stage(house), Why(analysis=figures))
    house.store.remove(figures)
    report = proving.verify(house, None)
    assert [figures in problem["what"] for problem in report["problems"]] == [True]


def test_a_reason_is_erasable_text(house: House) -> None:
    routing.kill(house, "bot", "Mallory called")
    body = house.ledger.events()[-1].body
    assert house.rows.get(body["reason"]) == ["Mallory called"]
    assert "Mallory" not in json.dumps([event.body for event in house.events()])
    house.rows.erase(body["reason"], 0)
    assert proving.verify(house, None)["ok"]


def test_many_that_publish_at_once_end_with_the_newest(house: House) -> None:
    def change(version: str) -> None:
        own = House(house.home, house.database)
        routing.promote(own, version, "champion")
        seen.append(published(own).epoch)

    seen: list[int] = []
    threads = [threading.Thread(target=change, args=(f"bot@{1 + n % 3}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert route(house).champion == house.registry().champion("bot")
    assert not [path for path in publishing.snapshot_file(house).parent.iterdir() if path.name.startswith(".")]


def test_the_file_is_touched_when_the_ledger_says_nothing_new(house: House) -> None:
    path = publishing.snapshot_file(house)
    before, inode = path.read_bytes(), path.stat().st_ino
    os.utime(path, (1, 1))
    publishing.publish(house)
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode)
    assert path.stat().st_mtime > 1


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 100], ids=["empty", "another", "zeros"])
def test_a_damaged_file_is_written_again(house: House, data: bytes) -> None:
    path = publishing.snapshot_file(house)
    good = path.read_bytes()
    path.write_bytes(data)
    publishing.publish(house)
    assert path.read_bytes() == good


def test_a_ledger_that_knows_less_than_was_published_publishes_nothing(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other", f"sqlite:///{tmp_path / 'other' / 'ledger.sqlite'}")
    (house.home / "keys").rename(tmp_path / "keys")
    other.home.mkdir()
    (tmp_path / "keys").rename(other.home / "keys")
    before = publishing.snapshot_file(house).read_bytes()
    publishing.snapshot_file(other).parent.mkdir()
    publishing.snapshot_file(other).write_bytes(before)
    with pytest.raises(IntegrityError, match="its tail was cut, or an older copy"):
        publishing.publish(other)
    assert publishing.snapshot_file(other).read_bytes() == before


def test_what_can_not_be_published_is_recorded_and_said(house: House) -> None:
    folder = publishing.snapshot_file(house).parent
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(StoreFault, match="can't write"):
        routing.kill(house, "bot")
    assert house.registry().state("bot").route.killed
    folder.unlink()
    publishing.publish(house)
    assert route(house).killed


def test_staleness_is_one_event_and_keeps_what_is_not_said(house: House) -> None:
    publishing.set_staleness(house, None, "refuse")
    publishing.set_staleness(house, 60, None)
    size = house.ledger.size()
    publishing.set_staleness(house, 60, "refuse")
    assert house.ledger.size() == size
    assert publishing.publish(house).staleness == Staleness(max_stale_s=60, then="refuse")
    for seconds, then in ((0, None), (None, "explode")):
        with pytest.raises(BadInput, match="is no rule; expected"):
            publishing.set_staleness(house, seconds, then)


def test_a_gateway_follows_what_is_published(house: House) -> None:
    made = api_keys.create(house, "shop", ["infer"])
    live = Live(publishing.snapshot_file(house), parse_public_key(house.public_key))

    def answers() -> str:
        live.look()
        key = authenticate(f"Bearer {made['key']}", live.view.keys, time.time())
        return decide(live.view, key, "bot", "somebody").subject

    assert answers() == "bot@1"
    routing.promote(house, "bot@2", "canary", 10_000)
    assert answers() == "bot@2"
    routing.roll_back(house, "bot")
    assert answers() == "bot@1"
    routing.kill(house, "bot")
    with pytest.raises(Refusal, match="switched off"):
        answers()
    routing.unkill(house, "bot")
    api_keys.revoke(house, made["key_id"])
    with pytest.raises(Refusal, match="key"):
        answers()
    assert live.refused == 0


def test_the_verbs(house: House) -> None:
    assert run("promote", "bot@2", "--canary", "10%").output.startswith("bot -> bot@1, canary bot@2 with 10 %\n")
    assert "bot -> bot@1\n" in run("rollback", "bot").output
    assert "shadow bot@2 with 5 %" in run("promote", "bot@2", "--shadow").output  # its config's
    assert "shadow bot@2 with 0.5 %" in run("promote", "bot@2", "--shadow", "0.5%").output
    assert run("promote", "bot@3", "--reason", "better").output.startswith("bot -> bot@3, shadow bot@2 with 0.5 %")
    assert "killed: nothing answers until 'tunegate unkill bot'" in run("kill", "bot").output
    assert "killed" in run("routes").output
    assert "killed" not in run("unkill", "bot").output
    shown = json.loads(run("routes", "--json").output)
    assert (shown["routes"][0]["alias"], shown["routes"][0]["before"]) == ("bot", ["bot@1"])
    assert [change["kind"] for change in shown["routes"][0]["changes"]][-2:] == ["route-killed", "route-unkilled"]
    assert {key: shown["routes"][0]["changes"][0][key] for key in ("kind", "version")} == {
        "kind": "released",
        "version": "bot@1",
    }
    text = run("routes").output
    assert "before: bot@1" in text
    assert "promoted bot@2 canary 10 %" in text
    assert "rolled-back bot@2" in text
    assert (
        "1 routes, 3 releases, 0 API keys; stale after 60 s, then serve" in run("publish", "--max-stale", "60").output
    )
    assert isinstance(run("promote", "bot@2", "--canary", "1%", "--shadow", "1%").exception, BadInput)


@pytest.mark.parametrize(
    ("share", "points"), [("10%", 1000), ("0.01%", 1), ("100 %", 10_000), ("0%", 0), ("2.5%", 250)]
)
def test_shares(share: str, points: int) -> None:
    assert basis_points(share) == points


@pytest.mark.parametrize("share", ["10", "0.1", "%", "101%", "-1%", "0.001%", "nan%", "inf%", "ten%", ""])
def test_what_is_no_share(share: str) -> None:
    with pytest.raises(BadInput, match="is no share"):
        basis_points(share)


def test_routes_of_an_empty_home(home: Path) -> None:
    assert "there is no route yet" in run("routes").output
