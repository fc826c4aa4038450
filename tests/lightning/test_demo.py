"""The demo on a real LNbits, set up as the operations page says."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.fixtures.daemon import Daemon
from tests.lab.lightning.__main__ import prepare
from tests.lab.lightning.lnbits_server import FAKE_WALLET, started
from tests.lab.lightning.needed import CannotBeHadError
from tests.lightning.conftest import without


@pytest.mark.timeout(300)
def test_the_demo_plays_on_a_real_lnbits_and_every_satoshi_is_accounted_for(lab_folder: Path) -> None:
    with TemporaryDirectory(prefix="spark-lnbits-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        try:
            server = started(stack, lab_folder / "fake-wallet", FAKE_WALLET)
        except CannotBeHadError as error:
            without(error)
        prepare(folder, server)
        daemon = Daemon(folder / "data", config=folder / "spark.toml")
        stack.callback(daemon.left_behind)
        stack.callback(daemon.kill)
        daemon.start()
        played = daemon.cli(
            *("demo", "--quick", "--lightning", "lnbits", "--outsider", str(folder / "outsider.json")),
            *("--config", str(folder / "spark.toml")),
            timeout=200,
        )
        assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-1000:]
        assert "every satoshi is accounted for" in played.stdout
