"""A server that allows fewer sessions than a deployment opens is refused, with the number that is needed."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from spark_actors.persistence.room import TooFewConnectionsError, refuse_too_few_connections

ALLOWED = 197
"""What the session's server has, less what it keeps for its superuser."""


def test_as_many_as_the_server_allows_are_no_trouble(database: str) -> None:
    refuse_too_few_connections({database: ALLOWED})


def test_more_are_refused_and_the_number_is_told(database: str) -> None:
    with pytest.raises(TooFewConnectionsError, match=r"up to 198 .* allows 197: raise max_connections"):
        refuse_too_few_connections({database: ALLOWED + 1})


def test_databases_of_one_server_count_together(database: str, empty_database: str) -> None:
    with pytest.raises(TooFewConnectionsError, match="up to 198 "):
        refuse_too_few_connections({database: ALLOWED - 1, empty_database: 2})


def test_a_limit_of_the_database_counts(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 5").format(name))
    with pytest.raises(TooFewConnectionsError, match="up to 6 .* allows 5"):
        refuse_too_few_connections({database: 6})
