"""A browser that notes what nobody should have to see: messages on its console, requests that leave this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)

from tests.web.needed import CHROMIUM

PHONE, DESKTOP = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)
NARROWEST = ViewportSize(width=320, height=640)
SCREENS: tuple[tuple[str, ViewportSize, Literal["light", "dark"]], ...] = (
    ("phone", PHONE, "dark"),
    ("desktop", DESKTOP, "light"),
)
"""Each width and each theme once: what one of them changes the other does not."""
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PATIENCE_MS = 20_000
REFUSED_FORM = "422 (Unprocessable"
"""The browser says so on its console when a form comes back."""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Person:
    """Somebody with a browser of their own."""

    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)
    """What was on the console, went wrong in a script, or was asked of another machine."""
    token_leaks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.on("request", self._note_request)
        self.page = self.open("/")

    def open(self, path: str) -> Page:
        """Another tab."""
        page = self.context.new_page()
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{self.url}{path}")
        return page

    def go(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.page.fill(f"#{name.replace('_', '-')}", value)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def sees(self, text: str) -> None:
        """Wait until this is to be read."""
        self.page.get_by_text(text).first.wait_for()

    def sign_up(self, name: str) -> None:
        self.go("/sign-up")
        self.fill(username=name, password="correct horse")
        self.press("Sign up")
        self.sees("Balance")

    def deposit(self, amount: str) -> None:
        self.go("/deposit")
        self.fill(amount=amount)
        self.press("Get an invoice")
        self.sees("It has arrived")

    def begin_campaign(self, title: str, goal: str = "21,000") -> str:
        """Gives its path."""
        self.go("/new-campaign")
        self.fill(title=title, story="Clean water.\n\nFor all.", goal=goal)
        self.press("Begin the campaign")
        self.sees("This is your campaign")
        return self.page.url.removeprefix(self.url).partition("?")[0]

    @property
    def tokens(self) -> list[str]:
        return [cookie["value"] for cookie in self.context.cookies()]

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and REFUSED_FORM not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.complaints.append(f"asks for {request.url}")
        self.token_leaks += [request.url for token in self.tokens if token and token in request.url]


class Eye:
    """Looks at a page in each theme and width, and keeps pictures of it."""

    def __init__(self, pictures: Path) -> None:
        self._axe = Axe()
        self._pictures = pictures
        self.faults: list[str] = []

    def look(self, page: Page, name: str) -> None:
        """Note what is wrong with the screen of this name."""
        page.set_viewport_size(NARROWEST)
        self._note_scroll(page, name)
        for device, size, theme in SCREENS:
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size(size)
            self._note_scroll(page, name)
            page.screenshot(path=self._pictures / f"{name}-{device}-{theme}.png", full_page=True)
            found = self._axe.run(page, options={"runOnly": {"type": "tag", "values": STANDARDS}})
            self.faults += [
                f"{name}, {device}, {theme}: {fault['id']} {[node['html'][:160] for node in fault['nodes']]}"
                for fault in found.response["violations"]
            ]

    def _note_scroll(self, page: Page, name: str) -> None:
        width, shown = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if width > shown:
            self.faults.append(f"{name}: scrolls sideways, {width} of {shown} px")
