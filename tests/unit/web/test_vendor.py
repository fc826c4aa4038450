"""What others have written and browsers get is what it was when it was taken in, with its licence."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

from spark_actors.web.rendering import STATIC

VENDOR = Path(str(STATIC)) / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text())
SCRIPT = (Path(__file__).parents[3] / "scripts" / "vendor").read_text()


def test_each_file_is_as_the_manifest_says_and_there_is_no_other() -> None:
    found = {file.name: sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir() if file.suffix != ".json"}
    assert found == MANIFEST["sha256"]


def test_the_licence_is_with_it_and_the_manifest_is_of_the_version_that_is_fetched() -> None:
    assert "Zero-Clause BSD" in (VENDOR / "htmx-LICENSE").read_text()
    assert f"name={MANIFEST['name']} version={MANIFEST['version']} licence={MANIFEST['licence']}" in SCRIPT


def test_nothing_of_ours_or_theirs_is_fetched_from_elsewhere() -> None:
    own = "".join(file.read_text() for file in Path(str(STATIC)).glob("spark.*"))
    assert re.findall(r"https?://|@import|url\(", own) == []
    theirs = "".join((VENDOR / name).read_text() for name in ("htmx.min.js", "hx-sse.min.js"))
    assert re.findall(r"""(?:src|href|import|fetch)\W{1,3}https?://""", theirs) == []
    assert "sourceMappingURL" not in theirs
