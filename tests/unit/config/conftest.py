"""Settings tests start with no variable of ours in the environment."""

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SPARK_"):
            monkeypatch.delenv(name)
