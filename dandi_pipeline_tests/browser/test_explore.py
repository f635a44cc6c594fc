"""The pages of `dandi-pipeline explore` in a real browser: with a mouse, with keys alone, and on a narrow screen."""

import socket
from collections.abc import Iterator

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from dandi_pipeline_tests.browser.chromium import HEIGHT, WIDTH, Pages, open_pages
from dandi_pipeline_tests.browser.explored import NAME, explored

EVERY_PAGE = ("/", "/dandisets/000001", "/questions", "/questions/Q05", "/sql?q=SELECT+*+FROM+draft_assets+LIMIT+3")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with explored(tmp_path_factory.mktemp("explored")) as address:
        yield address


@pytest.fixture(scope="module")
def shown(address: str) -> Iterator[Pages]:
    with open_pages(address) as opened:
        yield opened


@pytest.fixture
def browser(shown: Pages) -> WebDriver:
    shown.browser.set_window_size(WIDTH, HEIGHT)
    return shown.browser


def test_facets_narrow_the_list_and_say_how_many_they_leave(shown: Pages, browser: WebDriver) -> None:
    shown.open("/", NAME, "Access", "File format")
    facet = browser.find_element(By.CSS_SELECTOR, ".facets a[href*='format=application']")
    number = int(facet.find_element(By.TAG_NAME, "b").text)
    facet.click()
    listed = browser.find_elements(By.CSS_SELECTOR, "ol.list li")
    assert len(listed) == number
    chosen = browser.find_element(By.CSS_SELECTOR, ".facets a[aria-current]")
    chosen.click()
    assert not browser.find_elements(By.CSS_SELECTOR, ".facets a[aria-current]")


def test_words_are_searched_and_what_is_found_leads_to_its_page(shown: Pages, browser: WebDriver) -> None:
    shown.open("/", "Dandisets")
    browser.find_element(By.ID, "q").send_keys('"theta sequences" dentate', Keys.ENTER)
    assert NAME in shown.text
    browser.find_element(By.LINK_TEXT, "000001").click()
    assert NAME in browser.find_element(By.TAG_NAME, "h1").text


def test_a_dandiset_shows_its_growth_and_its_changes_as_plots_that_tell_their_numbers(shown: Pages) -> None:
    shown.open("/dandisets/1", NAME, "Growth", "Changes", "sub-new/sub-new_ecephys.nwb", "Versions")
    plots = shown.browser.find_elements(By.CSS_SELECTOR, "svg[role=img]")
    assert len(plots) == 2
    growth, changes = (str(plot.get_attribute("aria-label")) for plot in plots)
    assert growth.startswith("Files of the draft by the day of their creation: ")
    assert "1 delete" in changes
    assert plots[0].find_element(By.TAG_NAME, "path").is_displayed()
    assert shown.browser.find_elements(By.CSS_SELECTOR, "rect.insert, rect.delete")


def test_the_twenty_questions_are_answered_with_their_statements(shown: Pages, browser: WebDriver) -> None:
    shown.open("/questions", "Q01", "Q20")
    browser.find_element(By.LINK_TEXT, "Q05").click()
    assert "variable" in shown.text
    assert "SELECT" in browser.find_element(By.TAG_NAME, "pre").text
    browser.find_element(By.LINK_TEXT, "Change it").click()
    assert str(browser.find_element(By.ID, "statement").get_attribute("value")).startswith("SELECT")


def test_sql_is_answered_and_refused_in_a_sentence_by_keys_alone(shown: Pages, browser: WebDriver) -> None:
    shown.open("/sql", "SELECT")
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "To the content"
    for _ in range(4):
        browser.switch_to.active_element.send_keys(Keys.TAB)
    box = browser.switch_to.active_element
    assert box.get_attribute("id") == "statement"
    box.send_keys("SELECT count(*) AS files FROM draft_assets")
    box.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert "files" in browser.find_element(By.CSS_SELECTOR, "thead").text
    box = browser.find_element(By.ID, "statement")
    box.clear()
    box.send_keys("SELECT * FROM partitions")
    box.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    refusal = browser.find_element(By.CSS_SELECTOR, "[role=alert]").text
    assert refusal.startswith("there is no public table or view 'partitions'")


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_no_page_is_wider_than_a_narrow_screen(shown: Pages, browser: WebDriver, path: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        shown.open(path)
        assert browser.execute_script("return window.innerWidth") == 360
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_every_page_works_without_mistakes_and_without_scripts(shown: Pages, browser: WebDriver, path: str) -> None:
    browser.get_log("browser")  # type: ignore[attr-defined]
    shown.open(path)
    assert browser.get_log("browser") == []  # type: ignore[attr-defined]
    assert browser.find_elements(By.TAG_NAME, "script") == []
    assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1
    labelled = browser.find_elements(By.CSS_SELECTOR, "input:not([type=hidden]), textarea")
    assert all(browser.find_elements(By.CSS_SELECTOR, f"label[for={each.get_attribute('id')}]") for each in labelled)


def test_pages_answer_this_machine_alone_read_only_and_with_a_strict_policy(address: str) -> None:
    answer = requests.get(f"{address}/", timeout=60)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert requests.post(f"{address}/sql", data={"q": "SELECT 1"}, timeout=60).status_code == 405
    assert requests.get(f"{address}/", headers={"Host": "evil.example"}, timeout=60).status_code == 400
    assert requests.get(f"{address}/dandisets/999999", timeout=60).status_code == 404
    assert requests.get(f"{address}/questions/Q99", timeout=60).status_code == 400
    assert requests.get(f"{address}/nothing", timeout=60).status_code == 404
    shown = requests.get(f"{address}/sql", params={"q": "SELECT '<script>alert(1)</script>' AS x"}, timeout=60).text
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    port = int(address.rsplit(":", 1)[1])
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect((_address_of_this_machine(), port))


def _address_of_this_machine() -> str:
    """Return an address of this machine that others could reach it by; 127.0.0.2 where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])
