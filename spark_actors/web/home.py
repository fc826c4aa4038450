"""The runtime's own pages: what is there for an application that brings none."""

from __future__ import annotations

from spark_actors.web.pages import Audience, Page, Pages, Route, Visit


async def _home(visit: Visit) -> Page:
    return Page("home.html")


PAGES = Pages(routes=(Route("GET", "/", Audience.ANYBODY, _home),), templates=__package__)
