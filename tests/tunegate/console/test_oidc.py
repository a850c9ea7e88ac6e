"""Logging in with an OpenID Connect provider that runs here: who gets in, who does not, and each no is recorded."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from governance.people import DENIED
from tests.tunegate.console.conftest import Browser
from tests.tunegate.console.provider import CLIENT, SECRET, OwnProvider
from tunegate import users
from tunegate.console.app import COOKIE, build_console
from tunegate.console.oidc import FILE, read_settings
from tunegate.house import House
from tunegate_core.errors import ConfigError

Make = Callable[..., Browser]
NAME = "claim: preferred_username\n"


@pytest.fixture(scope="module")
def running() -> Iterator[OwnProvider]:
    found = OwnProvider()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def provider(running: OwnProvider) -> OwnProvider:
    running.person = {"sub": "42", "preferred_username": "auditor"}
    running.change, running.sign, running.claimed_issuer = dict, running.signed, running.issuer
    running.codes.clear()
    running.asked.clear()
    return running


@pytest.fixture
def console(house: House, provider: OwnProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """`console(more)` is a browser at a console whose home names the provider."""
    monkeypatch.setenv("TUNEGATE_OIDC_SECRET", SECRET)
    opened: list[Browser] = []
    apps: dict[str, Any] = {}

    def make(more: str = NAME) -> Browser:
        if more not in apps:
            (house.home / FILE).write_text(f"issuer: {provider.issuer}\nclient_id: {CLIENT}\n{more}")
            apps[more] = build_console(house)
        opened.append(Browser(apps[more], base_url="http://127.0.0.1", follow_redirects=False))
        opened[-1].__enter__()
        return opened[-1]

    yield make
    for browser in opened:
        browser.__exit__(None, None, None)


def question(browser: Browser, target: str = "") -> str:
    """Where the console sends this browser."""
    return str(browser.get(f"/login/oidc?next={target}").headers["location"])


def answer(asked: str) -> str:
    """Where the provider sends it back."""
    return str(httpx.get(asked).headers["location"])


def log_in(browser: Browser) -> Any:
    return browser.get(answer(question(browser)))


def rules(house: House) -> list[str]:
    return [event.body["rule"] for event in house.ledger.events(DENIED)]


def test_who_the_provider_vouches_for_is_logged_in(console: Make, provider: OwnProvider, house: House) -> None:
    browser = console()
    browser.get("/login")
    planted = browser.cookies[COOKIE]
    assert f"Log in with {urlsplit(provider.issuer).netloc}" in browser.get("/login").text
    done = browser.get(answer(question(browser, "/releases?state=Judged")))
    assert (done.status_code, done.headers["location"]) == (303, "/releases?state=Judged")
    page = browser.get("/")
    assert page.status_code == 200 and "<b>auditor</b> <small>auditor</small>" in page.text
    assert browser.get("/releases/bot@4").status_code == 200
    assert browser.post("/releases/bot@4/approve", data={"csrf": browser.token("/")}).status_code == 403
    stranger = console()
    stranger.plant(planted)
    assert stranger.get("/").status_code == 303  # session fixation: the cookie from before became no login
    assert rules(house) == ["role"]


def test_every_question_is_another_one(console: Make, provider: OwnProvider) -> None:
    """PKCE by S256, state and nonce: new each time, and the verifier is told to nobody."""
    browser = console()
    asked = [parse_qs(urlsplit(question(browser)).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[0][name][0]) >= 20 and asked[0][name] != asked[1][name]
    assert asked[0]["code_challenge_method"] == ["S256"] and "code_verifier" not in asked[0]
    assert asked[0]["redirect_uri"] == ["http://127.0.0.1/login/oidc/back"]


def test_a_claim_is_looked_up_in_the_table(console: Make, provider: OwnProvider, house: House) -> None:
    table = 'users: {"42": reviewer}\n'
    browser = console(table)
    assert log_in(browser).status_code == 303
    assert "<b>reviewer</b>" in browser.get("/").text
    provider.person = {"sub": "43", "preferred_username": "admin"}
    refused = log_in(console(table))
    assert refused.status_code == 401 and "43 is no user here" in refused.text
    assert rules(house) == ["oidc-user"]


@pytest.mark.parametrize("verified", [True, False, "true", None])
def test_an_email_counts_when_it_was_verified(console: Make, provider: OwnProvider, verified: Any) -> None:
    provider.person = {"sub": "42", "email": "ann@here.example", "email_verified": verified}
    browser = console("claim: email\nusers: {ann@here.example: auditor}\n")
    assert log_in(browser).status_code == (303 if verified is True else 401)


NOBODIES: tuple[dict[str, Any], ...] = (
    {}, {"preferred_username": "nobody"}, {"preferred_username": ["admin"]}, {"preferred_username": ""},
    {"preferred_username": "<script>alert(1)</script>"},
)  # fmt: skip


@pytest.mark.parametrize("person", NOBODIES)
def test_nobody_becomes_a_user_by_logging_in(console: Make, provider: OwnProvider, house: House, person: Any) -> None:
    provider.person = {"sub": "42", **person}
    before = len(users.listed(house)["users"])
    browser = console()
    refused = log_in(browser)
    assert refused.status_code == 401 and "<script>alert" not in refused.text
    assert browser.get("/").status_code == 303
    assert len(users.listed(house)["users"]) == before
    assert [event.body for event in house.ledger.events(DENIED)] == [
        {"action": "sign-in", "about": None, "by": None, "rule": "oidc-user"}
    ]


def test_who_was_disabled_stays_out(console: Make, house: House) -> None:
    browser = console()
    assert log_in(browser).status_code == 303
    users.disable(house, "auditor")
    assert browser.get("/").status_code == 303
    assert log_in(console()).status_code == 401
    assert rules(house) == ["oidc-user"]


def unsigned(claims: dict[str, Any]) -> str:
    parts = [json.dumps({"alg": "none"}), json.dumps(claims)]
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts) + "."


OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one"})
FORGED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "another nonce": (lambda claims: {**claims, "nonce": "x"}, lambda p, claims: p.signed(claims)),
    "no nonce": (lambda claims: {k: v for k, v in claims.items() if k != "nonce"}, lambda p, claims: p.signed(claims)),
    "for another client": (lambda claims: {**claims, "aud": "other"}, lambda p, claims: p.signed(claims)),
    "of another issuer": (lambda claims: {**claims, "iss": "https://evil.example"}, lambda p, c: p.signed(c)),
    "expired": (lambda claims: {**claims, "exp": int(time.time()) - 600}, lambda p, claims: p.signed(claims)),
    "without an end": (lambda claims: {k: v for k, v in claims.items() if k != "exp"}, lambda p, c: p.signed(c)),
    "another key": (dict, lambda p, claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, OTHER_KEY)),
    "not signed": (dict, lambda p, claims: unsigned(claims)),
    "the client's secret as key": (
        dict, lambda p, claims: jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET.encode().ljust(32)))
    ),
    "changed": (dict, lambda p, claims: p.signed(claims)[:-6] + "AAAAAA"),
    "no token": (dict, lambda p, claims: None),
    "no token at all": (dict, lambda p, claims: "x"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_a_token_that_can_not_be_relied_on(console: Make, provider: OwnProvider, house: House, what: str) -> None:
    provider.change, sign = FORGED[what]
    provider.sign = lambda claims: sign(provider, claims)
    browser = console()
    refused = log_in(browser)
    assert refused.status_code == 401 and "relied on" in refused.text, refused.text
    assert browser.get("/").status_code == 303
    assert rules(house) == ["oidc-token"]


def test_an_answer_belongs_to_the_browser_that_asked(console: Make, provider: OwnProvider, house: House) -> None:
    """Login CSRF, and an answer that was caught on its way: worth nothing elsewhere, nor a second time."""
    victim, thief = console(), console()
    caught = answer(question(victim))
    assert thief.get(caught).status_code == 401
    assert victim.get(caught).status_code == 303
    assert victim.get(caught).status_code == 401
    mine = question(thief)
    state = parse_qs(urlsplit(mine).query)["state"][0]
    other = parse_qs(urlsplit(answer(question(victim))).query)["code"][0]
    swapped = thief.get(f"/login/oidc/back?code={other}&state={state}")  # PKCE: the code is another question's
    assert swapped.status_code == 401
    assert rules(house) == ["oidc-state", "oidc-state", "oidc-provider"]


def test_the_provider_says_no(console: Make, house: House) -> None:
    browser = console()
    state = parse_qs(urlsplit(question(browser)).query)["state"][0]
    said = browser.get(f"/login/oidc/back?error=access_denied&error_description=Call+evil.example&state={state}")
    assert said.status_code == 401 and "did not let you in" in said.text and "evil" not in said.text
    assert rules(house) == ["oidc-provider"]


def test_an_answer_of_another_provider_is_none(console: Make, house: House) -> None:
    browser = console()
    assert browser.get(answer(question(browser)) + "&iss=https://evil.example").status_code == 401
    assert rules(house) == ["oidc-token"]


def test_strangers_fill_no_ledger(console: Make, house: House) -> None:
    browser = console()
    for _ in range(users.STRANGERS + 3):
        assert browser.get("/login/oidc/back?code=x&state=y").status_code == 401
    assert rules(house) == ["oidc-state"] * users.STRANGERS


def test_a_provider_that_is_another_or_away(console: Make, provider: OwnProvider, house: House) -> None:
    provider.claimed_issuer = "https://evil.example"
    browser = console()
    assert browser.get("/login/oidc").status_code == 503
    provider.claimed_issuer = provider.issuer
    assert browser.get("/login/oidc").status_code in (302, 303)
    away = console("claim: away\n").app
    away.state.desk.provider._client._server_metadata_url = "http://127.0.0.1:9/nobody"
    page = console("claim: away\n").get("/login/oidc")
    assert page.status_code == 503 and "use your password" in page.text
    assert browser.log_in("auditor").status_code == 303


def test_a_console_without_a_provider(house: House) -> None:
    with Browser(build_console(house), base_url="http://127.0.0.1") as browser:
        assert "Log in with" not in browser.get("/login").text
        assert browser.get("/login/oidc").status_code == 404 and browser.get("/login/oidc/back").status_code == 404


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("issuer: http://login.example\nclient_id: x\nclaim: email\n", "https"),
        ("issuer: https://login.example\nclient_id: x\n", "users"),
        ("issuer: https://login.example\nclient_id: x\nclaim: email\nsecret: x\n", "secret"),
        ("issuer: https://login.example\nclaim: email\n", "client_id"),
    ],
)
def test_what_is_no_description_of_a_provider(house: House, text: str, says: str) -> None:
    (house.home / FILE).write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_settings(house.home / FILE)
