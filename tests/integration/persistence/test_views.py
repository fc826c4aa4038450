"""A view of one instance is its state as it was committed last, in documents and in a table of its own alike."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import Query, query
from spark_actors.messaging.unit_of_work import Change
from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from spark_actors.persistence.views import views
from tests.fixtures.aggregates import SAMPLES, SHOP_SAMPLES, Sample, commit, created
from tests.fixtures.business import ACCOUNTS, STOCK, Business

EACH = [*((ACCOUNTS, sample) for sample in SAMPLES), *((STOCK, sample) for sample in SHOP_SAMPLES)]


@query("test.whole", key="name", result=object)
@dataclass(frozen=True)
class ViewWhole(Query):
    """All of an instance."""

    name: str


def whole(state: object, query: ViewWhole) -> object:
    return state


def seen(business: Business, context: str, dsn: str, key: str) -> object | None:
    """What the view gives of an instance."""

    async def asked() -> object | None:
        async with make_pool(dsn) as pool:
            showing = replace(business.contexts[context], views={ViewWhole: whole})
            return await views(showing, business.tables[context], pool)[ViewWhole](ViewWhole(key))

    return asyncio.run(asked())


@pytest.mark.parametrize(("business", "sample"), EACH, ids=[sample.context for _, sample in EACH])
def test_what_was_committed_last_is_seen(business: Business, sample: Sample, request: pytest.FixtureRequest) -> None:
    dsn = request.getfixturevalue(business.database)
    first, context = sample.first("key"), sample.context
    with closing(PostgresUnitOfWorkFactory(dsn, context, business.tables[context])) as factory:
        assert seen(business, context, dsn, "key") is None
        commit(factory(), [created("key", first)])
        assert seen(business, context, dsn, "key") == first
        commit(factory(), [Change("key", 1, 2, sample.changed(first))])
        assert seen(business, context, dsn, "key") == sample.changed(first)
        assert seen(business, context, dsn, "another") is None


@pytest.mark.parametrize("sample", SAMPLES[:1])
def test_a_database_that_lacks_the_table_is_unavailable_and_no_answer(sample: Sample, empty_database: str) -> None:
    with pytest.raises(StorageUnavailableError):
        seen(ACCOUNTS, sample.context, empty_database, "key")
