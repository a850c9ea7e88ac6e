"""The console in a real Chromium: a reviewer's way, what a screen reader is told, proofs checked in the page."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tunegate.console.provider import CLIENT, SECRET, OwnProvider
from tests.tunegate.console.test_trends import score, tell
from tunegate import api_keys, users
from tunegate.console.app import build_console
from tunegate.console.oidc import FILE
from tunegate.house import House

pytestmark = pytest.mark.browser

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--window-size=1280,900",
)  # fmt: skip
PASSWORD = "correct horse battery"
SERIOUS = ("serious", "critical")
PAGES = (
    "/", "/releases", "/releases/bot@1", "/compare?a=bot@1&b=bot@2", "/routes", "/routes/bot", "/runs", "/data",
    "/policies", "/annotate", "/feedback", "/ledger", "/ledger/3", "/people", "/nowhere", "/routes/bot/fairness",
    "/releases/bot@1/documents/model-card", "/releases/bot@1/documents/change-log",
)  # fmt: skip


@pytest.fixture
def served(house: House) -> Iterator[Callable[[], str]]:
    """`served()` is the console as its home is now, behind a server of its own; its address."""
    import uvicorn

    started = []

    def serve() -> str:
        server = uvicorn.Server(uvicorn.Config(build_console(house), port=0, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        started.append((server, thread))
        while not server.started:
            time.sleep(0.02)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in started:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def site(served: Callable[[], str]) -> str:
    """The address of a console."""
    return served()


@pytest.fixture
def open_browser(site: str) -> Iterator[Callable[[str], Any]]:
    """A browser in which somebody is logged in, by keyboard alone."""
    if not (Path(CHROMIUM).exists() and Path(DRIVER).exists()):
        pytest.skip("there is no Chromium")
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    opened = []

    def make(name: str) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in FLAGS:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        opened.append(driver)
        driver.implicitly_wait(10)  # a click may return before the page that it asks for is there
        driver.get(f"{site}/")
        driver.switch_to.active_element.send_keys(name, Keys.TAB, PASSWORD, Keys.ENTER)
        assert driver.find_element(By.XPATH, "//h1[.='Overview']")
        return driver

    yield make
    for driver in opened:
        driver.quit()


def test_the_way_of_a_reviewer(site: str, house: House, open_browser: Callable[[str], Any]) -> None:
    """From 'waiting for me' to approval, then promotion as the overview says; nothing in the browser's console."""
    from selenium.webdriver.common.by import By

    driver = open_browser("reviewer")
    driver.find_element(By.CSS_SELECTOR, "section[aria-labelledby=waiting] a").click()
    assert driver.find_element(By.XPATH, "//h1[starts-with(., 'bot@4')]")
    driver.find_element(By.NAME, "reason").send_keys("Better on facts, and nothing lost.")
    driver.find_element(By.XPATH, "//button[.='Approve']").click()
    assert "bot@4 is released" in driver.find_element(By.CSS_SELECTOR, "[role=status]").text
    assert "Better on facts" in driver.find_element(By.TAG_NAME, "blockquote").text
    driver.find_element(By.CSS_SELECTOR, ".story a.ref").click()
    told = driver.find_element(By.ID, "checked")
    until(lambda: "checked here" in told.text)
    assert not complaints(driver)

    users.set_roles(house, "reviewer", ["operator"])
    driver.get(f"{site}/")
    driver.find_element(By.LINK_TEXT, "promote it").click()
    assert driver.find_element(By.NAME, "version").get_attribute("value") == "bot@4"
    driver.find_element(By.CSS_SELECTOR, "form[action$=promote] textarea").send_keys("approved")
    driver.find_element(By.XPATH, "//button[.='Promote']").click()
    assert "bot -> bot@4" in driver.find_element(By.CSS_SELECTOR, "[role=status]").text
    assert house.registry().champion("bot") == "bot@4"
    assert not complaints(driver)


def test_no_page_has_a_serious_finding_in_either_theme(
    site: str, house: House, open_browser: Callable[[str], Any]
) -> None:
    from axe_selenium_python import Axe

    tell(house, 7, {"en": score(90, 10), "de": score(80, 20)})
    tell(house, 8, {"en": score(92, 8), "de": score(60, 40), "fr": ()})
    api_keys.create(house, "app", ["infer"])
    driver, found = open_browser("admin"), []
    for theme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": theme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for path in PAGES:
            driver.get(site + path)
            axe = Axe(driver)
            axe.inject()
            violations = axe.run()["violations"]
            found += [(theme, path, each["id"]) for each in violations if each["impact"] in SERIOUS]
    assert not found


def test_no_page_is_wider_than_a_phone(site: str, house: House, open_browser: Callable[[str], Any]) -> None:
    """At 390 px nothing is cut off: wide tables turn in their own frames."""
    tell(house, 7, {"en": score(90, 10), "de": score(80, 20)})
    driver = open_browser("admin")
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wide = []
    for path in PAGES:
        driver.get(site + path)
        width = driver.execute_script("return document.documentElement.scrollWidth")
        wide += [(path, width)] if width > 390 else []
    assert not wide


def test_paper_shows_no_form_and_cuts_nothing_off(site: str, open_browser: Callable[[str], Any]) -> None:
    """As wide as A4 between its margins; light in any theme."""
    driver, wrong = open_browser("admin"), []
    dark = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    metrics = {"width": 718, "height": 1047, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for path in PAGES:
        driver.get(site + path)
        width, has_form, page = driver.execute_script(
            "return [document.documentElement.scrollWidth, [...document.forms].some(form => form.offsetParent),"
            " getComputedStyle(document.documentElement).backgroundColor]"
        )
        wrong += [] if width <= 718 and not has_form and page == "rgb(255, 255, 255)" else [(path, width, has_form)]
    assert not wrong


def test_a_login_with_a_provider(
    house: House, open_browser: Callable[[str], Any], served: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over there and back in a browser of its own, which keeps the cookie on the way."""
    from selenium.webdriver.common.by import By

    provider = OwnProvider()
    provider.start()
    monkeypatch.setenv("TUNEGATE_OIDC_SECRET", SECRET)
    (house.home / FILE).write_text(f"issuer: {provider.issuer}\nclient_id: {CLIENT}\nclaim: preferred_username\n")
    site = served()
    driver = open_browser("admin")
    driver.get(f"{site}/releases?state=Judged")
    driver.find_element(By.PARTIAL_LINK_TEXT, "Log in with").click()
    until(lambda: driver.current_url == f"{site}/releases?state=Judged")
    provider.stop()
    assert driver.find_element(By.CSS_SELECTOR, ".who b").text == "auditor"


def test_a_forged_event_is_not_proved_in_the_page(site: str, open_browser: Callable[[str], Any]) -> None:
    """The page's own check: it believes the bytes, not the server's word."""
    driver = open_browser("auditor")
    driver.get(f"{site}/ledger/2")
    other_root = "proof.note.replace(/\\n[^\\n]{44}\\n/, '\\n' + 'A'.repeat(43) + '=\\n')"
    for name, change in (
        ("event", "proof.bytes += ' '"),
        ("path", "proof.path.reverse()"),
        ("seq", "proof.seq += 1"),
        ("root", f"proof.note = {other_root}"),
        ("key", "proof.key = 'ab'.repeat(32)"),
    ):
        script = (
            "const done = arguments[0]; const proof = JSON.parse(document.getElementById('proof-data').textContent);"
            f"{change}; check(proof).then((said) => done(said[0]), () => done(false))"
        )
        assert driver.execute_async_script(script) is False, name
    assert driver.execute_async_script(
        "check(JSON.parse(document.getElementById('proof-data').textContent)).then((said) => arguments[0](said[0]))"
    )


def complaints(driver: Any) -> list[str]:
    """What the browser's console says: script errors, and what the page's own policy blocked."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
