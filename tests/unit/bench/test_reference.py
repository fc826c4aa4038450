"""What pgbench prints is read exactly, or not at all."""

from __future__ import annotations

import pytest

from tests.lab.bench.reference import PgbenchError, parse_rate

PRINTED = """\
pgbench (18.4)
transaction type: reference.sql
scaling factor: 1
query mode: prepared
number of clients: 32
number of threads: 2
maximum number of tries: 1
duration: 10 s
number of transactions actually processed: 54321
number of failed transactions: 0 (0.000%)
latency average = 5.879 ms
initial connection time = 60.123 ms
tps = 5432.109876 (without initial connection time)
"""


def test_the_rate_is_without_the_time_to_connect() -> None:
    assert parse_rate(PRINTED) == pytest.approx(5432.109876)


@pytest.mark.parametrize("printed", ["", "pgbench: error: connection failed", PRINTED.replace("tps", "xyz")])
def test_output_without_a_rate_is_refused(printed: str) -> None:
    with pytest.raises(PgbenchError):
        parse_rate(printed)


def test_failed_transactions_make_the_rate_worthless() -> None:
    with pytest.raises(PgbenchError):
        parse_rate(PRINTED.replace("transactions: 0 (", "transactions: 3 ("))
