"""A real browser, headless, where the machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.test import Client
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1680,980",
)
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


class Browser:
    """Chromium, as the tests use it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def enter(self, site_url: str, client: Client) -> None:
        """Take over the login of ``client``."""
        self.driver.get(f"{site_url}/admin/login/")
        self.driver.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})

    def text(self, selector: str) -> str:
        """The text that a reader sees of the first element of that kind, "" if there is none."""
        code = """
            const found = document.querySelector(arguments[0]);
            return found && found.checkVisibility() ? found.innerText.trim() : "";
        """
        return str(self.script(code, selector))

    def script(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def prefer(self, theme: str) -> None:
        """Be the browser of a reader who prefers ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def before_every_page(self, code: str) -> None:
        """Run a script before those of each page."""
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": code})

    def narrow(self) -> None:
        """Be a telephone."""
        self.resize(390, 844, is_mobile=True)

    def resize(self, width: int, height: int, *, is_mobile: bool = False) -> None:
        """Be a screen of this size, in pixels: what is seen of a page, without the window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def is_within_screen(self) -> bool:
        """Whether the page is no wider than the screen."""
        root = "document.documentElement"
        return bool(self.script(f"return {root}.scrollWidth <= {root}.clientWidth"))

    def complaints(self) -> list[str]:
        """What the console has shown since the last call: errors, and breaches of the CSP."""
        messages = [each["message"] for each in self.driver.get_log("browser")]
        return [each for each in messages if "/favicon.ico" not in each]


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
