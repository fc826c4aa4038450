"""Pages as HTML: the templates, what they know beside their values, and pictures. Pure but for reading templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import jinja2
import segno
from markupsafe import Markup, escape

from spark_actors.web.pages import MESSAGE_ID, Link, Page, Pages, Visitor, new_message_id

STATIC = files("spark_actors.web") / "static"
ASSETS = ("spark.css", "spark.js", "vendor/htmx.min.js", "vendor/hx-sse.min.js")
LIVE = "/live"
"""Before the path of a page: the stream that keeps it up to date."""
QR_BORDER = 4
"""Of nothing around a code; readers want so many modules."""


class Surroundings(NamedTuple):
    """What a page knows of the request that it answers."""

    visitor: Visitor
    path: str
    """With the question behind it, as the browser asked for it."""
    live: str = ""
    """Where the stream of this page is; empty if it has none."""


class Renderer:
    """Makes HTML of pages."""

    def __init__(self, name: str, pages: Sequence[Pages]) -> None:
        """*name*: that of the application. A template of later *pages* stands before one of that name of earlier."""
        self._menu = tuple(link for each in pages for link in each.menu)
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each.templates) for each in reversed(pages)]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "grouped": grouped,
            "moment": moment,
            "segment": segment,
            "paragraphs": paragraphs,
        }
        self._environment.globals |= {
            "application": name,
            "asset": asset,
            "qr": qr,
            "form_id": form_id,
        }

    def page(self, page: Page, around: Surroundings) -> str:
        """The whole page."""
        template = self._environment.get_template(page.template)
        return template.render(
            **page.values,
            visitor=around.visitor,
            menu=[link for link in self._menu if _is_offered(link, around.visitor)],
            path=around.path,
            live=_live_attributes(around.live if not page.is_final else ""),
            is_awaited=page.is_awaited,
        )

    def fragment(self, template: str, page: Page) -> str:
        """That part of a live page which is kept up to date."""
        return self._environment.get_template(template).render(**page.values)


def _is_offered(link: Link, visitor: Visitor) -> bool:
    return visitor.is_of(link.audience) and not (link.for_strangers and visitor.is_known)


def _live_attributes(stream: str) -> Markup:
    """What makes an element follow the stream; nothing if there is none."""
    if not stream:
        return Markup()
    return Markup(' hx-sse:connect="{}" hx-trigger="load, connect" hx-swap="innerMorph" hx-sse:close="over"').format(
        stream
    )


def form_id() -> Markup:
    """The hidden field with the id under which what the form asks for is sent, made anew for each form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(MESSAGE_ID, new_message_id())


def grouped(number: int) -> str:
    """A whole number with commas between thousands."""
    return f"{number:,}"


def moment(at: datetime) -> Markup:
    """A time of UTC, for people and for programs."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%-d %b %Y, %H:%M}")


def segment(text: str) -> str:
    """A text as one part of a path, whatever is in it."""
    return quote(text, safe="")


def paragraphs(text: str) -> Markup:
    """Somebody's text with its lines: empty ones between paragraphs."""
    parts = [part.strip() for part in text.replace("\r\n", "\n").split("\n\n")]
    return Markup("\n").join(
        Markup("<p>{}</p>").format(Markup("<br>").join(escape(line) for line in part.split("\n")))
        for part in parts
        if part
    )


@lru_cache(maxsize=64)
def qr(text: str, label: str) -> Markup:
    """A QR code as a picture in the page; dark on light, whatever the theme, or readers do not see it."""
    code = segno.make(text, error="l", micro=False)
    rows = [bytes(row) for row in code.matrix]
    size = len(rows) + 2 * QR_BORDER
    path = "".join(
        f"M{left + QR_BORDER} {top + QR_BORDER}h{width}v1h-{width}z"
        for top, row in enumerate(rows)
        for left, width in _runs(row)
    )
    return Markup(
        '<svg class="qr" viewBox="0 0 {0} {0}" role="img" aria-label="{1}" shape-rendering="crispEdges">'
        '<rect width="{0}" height="{0}" fill="#fff"/><path d="{2}" fill="#000"/></svg>'
    ).format(size, label, path)


def _runs(row: bytes) -> list[tuple[int, int]]:
    """Where dark modules begin, and how many follow."""
    runs: list[tuple[int, int]] = []
    for place, is_dark in enumerate(row):
        if is_dark and runs and sum(runs[-1]) == place:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        elif is_dark:
            runs.append((place, 1))
    return runs


@lru_cache(maxsize=len(ASSETS))
def asset(name: str) -> str:
    """The address of one of our files, which changes with its content, so that browsers may keep it for good."""
    return f"/static/{name}?v={sha256(STATIC.joinpath(name).read_bytes()).hexdigest()[:12]}"


def address(path: str, question: Mapping[str, Any]) -> str:
    """A path with its question, if there is one."""
    return f"{path}?{urlencode(question)}" if question else path
