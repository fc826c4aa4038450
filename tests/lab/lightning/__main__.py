"""`scripts/lnbits FOLDER`: an LNbits on this machine with a wallet for the daemon and one for the world outside.

Behind it is LNbits' own FakeWallet: the two wallets pay each other, and nobody else. No real money moves.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import typer

from spark_actors.embedded.data_dir import make_private_folder, write_private_file
from tests.lab.lightning import lnbits_server
from tests.lab.lightning.needed import CannotBeHadError

OUTSIDE_SAT = 10_000_000
NETWORK = "bc"
"""FakeWallet writes its invoices for it."""


TOLD = """\
LNbits answers at {url}. In another terminal:

scripts/run --config {folder}/spark.toml

and, once that is ready, in a third:

.venv/bin/spark-actors demo --lightning lnbits --outsider {folder}/outsider.json --config {folder}/spark.toml

Ctrl-C ends it."""


def settings(folder: Path, url: str) -> str:
    return f"""\
# Settings for the daemon: the Lightning node is the LNbits of `scripts/lnbits`.
[lightning]
node = "lnbits"
network = "{NETWORK}"

[lightning.lnbits]
url = "{url}"
admin_key_file = "{folder / "admin.key"}"
invoice_key_file = "{folder / "invoice.key"}"
"""


def prepare(folder: Path, server: lnbits_server.LnbitsServer) -> None:
    """Make the two wallets, and write the daemon's settings and the keys of both."""
    service, outside = server.wallet("service", 0), server.wallet("outside", OUTSIDE_SAT)
    write_private_file(folder / "admin.key", service.admin_key)
    write_private_file(folder / "invoice.key", service.invoice_key)
    write_private_file(folder / "outsider.json", json.dumps({"url": server.url, "admin_key": outside.admin_key}))
    write_private_file(folder / "spark.toml", settings(folder, server.url))


def main(folder: Path) -> int:
    make_private_folder(folder)
    with ExitStack() as stack:
        try:
            server = lnbits_server.started(stack, folder / "lnbits", lnbits_server.FAKE_WALLET)
        except CannotBeHadError as error:
            typer.echo(f"error: {error}", err=True)
            return 1
        prepare(folder, server)
        typer.echo(TOLD.format(url=server.url, folder=folder))
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main(Path(sys.argv[1])))
