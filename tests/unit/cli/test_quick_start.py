"""The command line starts quickly: what takes time to import waits until a command needs it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("ray", "nats", "psycopg", "asyncio", "pydantic_settings", "structlog", "rich.progress", "argon2")


def test_help_needs_none_of_the_heavy_libraries() -> None:
    code = f"import sys, spark_actors.cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
