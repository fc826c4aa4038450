"""A daemon where people run it: two databases, one of them behind PgBouncer, and a data dir of any name.

A former release has left the simulated node's books there, in a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from domain.bitcoin.adapters.node_books import FORMER_FILE
from tests.fixtures.daemon import Daemon
from tests.fixtures.lightning import leave_former_books
from tests.fixtures.pgbouncer import pooler

ODD_NAME = 'my data, 100% Größe "x"\\y'


@pytest.mark.timeout(300)
def test_it_works_on_two_databases_one_behind_pgbouncer_and_below_any_path(
    template_database: str, new_database: Callable[[str], str], pgbouncer_program: Path
) -> None:
    common, ledgers = new_database(template_database), new_database(template_database)
    with (
        pooler(pgbouncer_program, ledgers, "") as pooled,
        TemporaryDirectory(prefix="spark-elsewhere-", ignore_cleanup_errors=True) as folder,
    ):
        settings = {
            "LC_ALL": "C",
            "SPARK_POSTGRES__DSN": common,
            "SPARK_POSTGRES__CONTEXT_DSN__ACCOUNTING": pooled.dsn(ledgers),
            "SPARK_POSTGRES__CONTEXT_LISTEN_DSN__ACCOUNTING": ledgers,
            "SPARK_POSTGRES__PREPARED_STATEMENTS": "false",
        }
        daemon = Daemon(Path(folder) / ODD_NAME, settings)
        daemon.data_dir.mkdir()
        leave_former_books(daemon.data_dir)
        try:
            assert ODD_NAME in daemon.start()
            assert not (daemon.data_dir / FORMER_FILE).exists()
            assert payments(common) == 3
            for command in ("demo", "audit"):
                done = daemon.cli(command)
                assert done.returncode == 0, done.stdout + done.stderr
            assert (movements(common), movements(ledgers) > 0) == (0, True)
            assert daemon.terminate() == 0
            assert "Error" not in daemon.last_words()
        finally:
            daemon.kill()
            assert daemon.left_behind() == []


def movements(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return int(connection.execute("SELECT count(*) FROM accounting.ledger").fetchall()[0][0])


def payments(dsn: str) -> int:
    """How many the simulated node knows of."""
    with psycopg.connect(dsn) as connection:
        return int(connection.execute("SELECT count(*) FROM bitcoin.simulated_payments").fetchall()[0][0])
