"""A headless Chromium, and its pages as the tests and the screenshots look at them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

HOW_TO_GET_IT = "Chromium and its driver are needed: apt-get install chromium chromium-driver"
PATIENCE = 30.0
"""Seconds until a page must show what it is opened for."""

WIDTH, HEIGHT = 1280, 900


def installed() -> tuple[str, str] | None:
    """Return the paths of the browser and of its driver, or None where one is missing."""
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Pages:
    """One browser window on one web server."""

    def __init__(self, browser: WebDriver, url: str) -> None:
        self._browser = browser
        self._url = url

    def open(self, path: str, *texts: str) -> None:
        """Open a page and wait until it shows all of `texts`, each as often as named; or fail with what it shows."""
        self._browser.get(f"{self._url}{path}")
        self._await(path, texts)

    def follow(self, link: str, *texts: str) -> None:
        """Click the link with this text, and wait like `open`."""
        self._browser.find_element(By.LINK_TEXT, link).click()
        self._await(link, texts)

    def _await(self, path: str, texts: Sequence[str]) -> None:
        waiting = WebDriverWait(self._browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
        try:
            waiting.until(lambda _: all(self.text.count(text) >= texts.count(text) for text in texts))
        except TimeoutException:
            missing = [text for text in texts if self.text.count(text) < texts.count(text)]
            raise AssertionError(f"{path} does not show {missing} but:\n{self.text}") from None

    @property
    def browser(self) -> WebDriver:
        """The browser itself, for what only it can tell."""
        return self._browser

    @property
    def text(self) -> str:
        """All that the page shows."""
        return self._browser.find_element(By.TAG_NAME, "body").text

    def table(self) -> Mapping[str, str]:
        """The rows of the page's tables: the first line of each, and the rest."""
        rows = [row.text.partition("\n") for row in self._browser.find_elements(By.CSS_SELECTOR, "tr")]
        return {name: value for name, _, value in rows}

    def switches(self, number: int) -> Sequence[bool]:
        """Wait for this many switches, which come after the rows they stand in; tell of each whether it is on."""
        waiting = WebDriverWait(self._browser, PATIENCE)
        found = waiting.until(lambda _: len(self._switches()) == number and self._switches())
        return [switch.is_selected() for switch in found]

    def _switches(self) -> list[WebElement]:
        return self._browser.find_elements(By.CSS_SELECTOR, "label[class*=formatSwitch] input")

    def show(self, text: str) -> None:
        """Scroll as little as it takes for an element that shows exactly `text` to be seen."""
        element = self._browser.find_element(By.XPATH, f"//*[normalize-space(text())='{text}']")
        self._browser.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", element)

    def save(self, path: Path) -> None:
        """Save a picture of the window."""
        path.write_bytes(self._browser.get_screenshot_as_png())


@contextmanager
def open_pages(url: str) -> Iterator[Pages]:
    """Open a browser on the server at `url`, and close it at the end."""
    found = installed()
    if found is None:
        raise RuntimeError(HOW_TO_GET_IT)
    browser_path, driver_path = found
    options = webdriver.ChromeOptions()
    options.binary_location = browser_path
    # Chromium's sandbox refuses to run as root, and nothing is opened here but this machine's own pages.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={WIDTH},{HEIGHT}"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver_path))
    try:
        yield Pages(browser, url)
    finally:
        with suppress(OSError):
            browser.quit()
