"""A context without a table of its own: its instances lie as documents, and keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from spark_actors.kernel.errors import ConstraintError, StaleVersionError
from spark_actors.messaging.unit_of_work import Change, Effect, Unreadable
from spark_actors.persistence.migrations import migrate
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from spark_actors.persistence.tables import AggregateTable
from tests.fixtures.aggregates import commit
from tests.shop.application import APPLICATION
from tests.shop.inventory.item import Item
from tests.shop.orders.order import Order, OrderState

TEA, COFFEE = Item("tea", "Tea", 5), Item("coffee", "Coffee", 3)


@pytest.fixture
def database(empty_database: str) -> str:
    assert migrate(APPLICATION, dict.fromkeys(APPLICATION.schemas, empty_database))
    assert migrate(APPLICATION, dict.fromkeys(APPLICATION.schemas, empty_database)) == []
    return empty_database


def units_of(database: str, context: str) -> PostgresUnitOfWorkFactory:
    table = APPLICATION.installed(context).stored
    assert isinstance(table, AggregateTable)
    return PostgresUnitOfWorkFactory(database, context, table)


@pytest.fixture
def items(database: str) -> Iterator[PostgresUnitOfWorkFactory]:
    with closing(units_of(database, "inventory")) as factory:
        commit(factory(), [Change("tea", 0, 1, TEA), Change("coffee", 0, 1, COFFEE)])
        yield factory


def test_a_state_comes_back_as_it_was(database: str) -> None:
    order = Order("o1", "ann", "tea", 2, OrderState.CONFIRMED)
    with closing(units_of(database, "orders")) as factory:
        commit(factory(), [Change("o1", 0, 1, order)])
        assert factory().repository.load(["o1", "o2"]) == {"o1": (order, 1), "o2": (None, 0)}


def test_a_stale_writer_is_refused(items: PostgresUnitOfWorkFactory) -> None:
    commit(items(), [Change("tea", 1, 2, Item("tea", "Tea", 4))])
    for stale in (Change("tea", 1, 2, TEA), Change("tea", 0, 1, TEA)):
        with pytest.raises(StaleVersionError):
            commit(items(), [stale])


def test_a_rule_is_kept_and_told_by_the_domains_name(items: PostgresUnitOfWorkFactory) -> None:
    with pytest.raises(ConstraintError, match="items_label_unique"):
        commit(items(), [Change("tee", 0, 1, Item("tee", "Tea", 1))])
    wanted = [Effect("tee", Item("tee", "Tea", 1), ()), Effect("milk", Item("milk", "Milk", 1), ())]
    assert items().repository.offenders(wanted) == {0: "items_label_unique"}


def test_a_document_that_is_none_of_the_aggregates_is_nobody_elses_trouble(
    items: PostgresUnitOfWorkFactory, database: str
) -> None:
    import psycopg

    with psycopg.connect(database) as connection:
        connection.execute("UPDATE inventory.documents SET state = '{}' WHERE key = 'tea'")
    loaded = items().repository.load(["tea", "coffee"])
    assert isinstance(loaded["tea"].state, Unreadable)
    assert loaded["coffee"] == (COFFEE, 1)
