"""The page in a real browser: keys alone are enough, light and dark, and nothing that axe finds wrong."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_selenium_python import Axe

from serving.http import gateway_server
from tests.tunegate.console.conftest import PASSWORD
from tests.tunegate.rated import tell
from tunegate.console.app import build_console
from tunegate.feedback import recorded
from tunegate.house import House

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--window-size=1200,900",
)  # fmt: skip
PROMPTS = 6
WAIT_SECONDS = 20
PHONE = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
EVIL = (
    "</div></form><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>"
    "<style>*{display:none}</style>"
    "\u202eturned \u05e9\u05dc\u05d5\u05dd " + "W" * 400
)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Chromium; the tests are skipped where it is absent, and fail there in CI."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("Chromium and its driver are not installed")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    driver = Chrome(options=options, service=Service(chromedriver))
    yield driver
    driver.quit()


@pytest.fixture
def site(house: House) -> Iterator[str]:
    """The console on a port of this machine, with one candidate that waits."""
    tell(house, prompts=PROMPTS)
    server = gateway_server(build_console(house), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=WAIT_SECONDS)


def until(is_so: Callable[[], Any]) -> Any:
    ends = time.monotonic() + WAIT_SECONDS
    while not (found := is_so()):
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.05)
    return found


def log_in(driver: Any, site: str) -> None:
    driver.delete_all_cookies()
    driver.get(f"{site}/login")
    driver.find_element("name", "name").send_keys("reviewer")
    driver.find_element("name", "password").send_keys(PASSWORD + "\n")
    until(lambda: driver.find_elements("css selector", "header .who"))


def press(driver: Any, key: str) -> None:
    """Press a key and wait for another page."""
    before = driver.find_element("tag name", "html")
    driver.find_element("tag name", "body").send_keys(key)
    until(lambda: driver.find_element("tag name", "html") != before)
    until(lambda: driver.execute_script("return document.readyState") == "complete")


def said(house: House) -> list[Any]:
    return [entry.value for entry in recorded(house).entries]


def test_keys_alone_are_enough(driver: Any, site: str, house: House) -> None:
    log_in(driver, site)
    driver.get(f"{site}/annotate/liked@1/chat")
    for number, key in enumerate(("1", "2", "3", "0"), start=1):
        press(driver, key)
        assert f"{number} of {PROMPTS} rated by you" in driver.page_source
    assert said(house) == ["a", "b", "tie", "skip"]
    press(driver, "u")
    assert f"3 of {PROMPTS} rated by you" in driver.page_source
    here = driver.find_element("name", "item").get_attribute("value")
    press(driver, "j")
    assert driver.find_element("name", "item").get_attribute("value") != here
    press(driver, "k")
    assert driver.find_element("name", "item").get_attribute("value") == here
    driver.find_element("css selector", "summary").click()
    driver.find_element("name", "reason").send_keys("1 2 u j")  # words are no keys
    assert len(said(house)) == 5
    log_in(driver, site)  # another day
    driver.get(f"{site}/annotate/liked@1/chat")
    assert f"3 of {PROMPTS} rated by you" in driver.page_source


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_axe_finds_wrong(driver: Any, site: str, scheme: str) -> None:
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    log_in(driver, site)
    for path in ("/annotate", "/annotate/liked@1/chat"):
        driver.get(site + path)
        axe = Axe(driver)
        axe.inject()
        found = axe.run()
        assert not found["violations"], axe.report(found["violations"])


def test_what_models_say_is_text(driver: Any, house: House, site: str) -> None:
    """Markup, script, a word without an end and one from right to left: shown letter by letter, on a phone as well."""
    tell(house, prompts=2, name="evil", more=EVIL)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    log_in(driver, site)
    driver.get(f"{site}/annotate/evil@1/chat")
    seen = driver.find_elements("css selector", ".words")
    for words in seen:
        assert words.get_property("textContent").endswith(EVIL.replace("\u202e", "\\u202e"))
        assert words.find_elements("css selector", "*") == [] and words.rect["width"] <= PHONE["width"]
    assert len(seen) == 3 and driver.execute_script("return window.harmed === undefined")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE["width"]
    press(driver, "1")
    assert "1 of 2 rated by you" in driver.page_source
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_answers_fit_wide_and_narrow_screens(driver: Any, site: str) -> None:
    """The answers stand beside each other on a wide screen and below each other on a narrow one."""
    log_in(driver, site)
    driver.get(f"{site}/annotate/liked@1/chat")
    first, second = driver.find_elements("css selector", ".answer")
    assert first.rect["y"] == second.rect["y"]
    driver.set_window_size(500, 900)
    until(lambda: second.rect["y"] > first.rect["y"])
    width = driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    driver.set_window_size(1200, 900)
    assert width <= 0
