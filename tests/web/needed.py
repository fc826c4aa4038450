"""The browser that the pages are looked at with: Debian's Chromium.

`python -m tests.web.needed` gets it, which takes half a minute; what is there already is kept.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.lightning.needed import cache, run

CHROMIUM = Path("/usr/bin/chromium")


def have_chromium() -> None:
    """Raises CannotBeHadError."""
    with cache():
        if not CHROMIUM.exists():
            run("chromium", "apt-get", "--quiet", "update")
            run("chromium", "apt-get", "--quiet", "install", "--yes", "--no-install-recommends", "chromium")


if __name__ == "__main__":
    have_chromium()
