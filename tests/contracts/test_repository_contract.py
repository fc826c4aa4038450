"""The contract of Repository and UnitOfWork, for the aggregate of every context."""

from __future__ import annotations

import pytest

from spark_actors.kernel.errors import DuplicateMessageError, RowLockedError, StaleVersionError
from spark_actors.messaging.unit_of_work import Change, Versioned
from tests.fixtures.aggregates import SAMPLES, SHOP_SAMPLES, Sample, a_mark, a_user, an_event, commit, created
from tests.fixtures.business import ACCOUNTS, STOCK
from tests.fixtures.stores import Async, Stores

EACH = [*((ACCOUNTS, sample) for sample in SAMPLES), *((STOCK, sample) for sample in SHOP_SAMPLES)]
each_aggregate = pytest.mark.parametrize(("business", "sample"), EACH, ids=[sample.context for _, sample in EACH])


@each_aggregate
def test_an_instance_that_does_not_exist_has_version_zero(stores: Stores, sample: Sample) -> None:
    with stores.unit_of_work(sample.context) as uow:
        assert uow.repository.load(["nobody"]) == {"nobody": Versioned(None, 0)}


@each_aggregate
def test_a_new_state_is_loaded_as_it_was_saved(stores: Stores, sample: Sample) -> None:
    state = sample.first("key")
    commit(stores.unit_of_work(sample.context), [created("key", state)])
    with stores.unit_of_work(sample.context) as uow:
        assert uow.repository.load(["key"]) == {"key": Versioned(state, 1)}


@each_aggregate
def test_a_changed_state_takes_the_place_of_the_one_before(stores: Stores, sample: Sample) -> None:
    changed = sample.changed(sample.first("key"))
    commit(stores.unit_of_work(sample.context), [created("key", sample.first("key"))])
    commit(stores.unit_of_work(sample.context), [Change("key", 1, 5, changed)])
    with stores.unit_of_work(sample.context) as uow:
        assert uow.repository.load(["key"]) == {"key": Versioned(changed, 5)}


@each_aggregate
def test_many_are_saved_and_loaded_at_once(stores: Stores, sample: Sample) -> None:
    names = [f"key-{number}" for number in range(30)]
    commit(stores.unit_of_work(sample.context), [created(name, sample.first(name)) for name in names[:20]])
    changed = sample.changed(sample.first("key-7"))
    commit(
        stores.unit_of_work(sample.context),
        [Change("key-7", 1, 2, changed), *(created(name, sample.first(name)) for name in names[20:])],
    )
    with stores.unit_of_work(sample.context) as uow:
        found = uow.repository.load([*names, "nobody"])
    assert found["key-7"] == Versioned(changed, 2)
    assert found["nobody"] == Versioned(None, 0)
    assert [held.version for held in found.values()].count(1) == 29


@each_aggregate
def test_a_change_decided_on_an_old_version_is_refused(stores: Stores, sample: Sample) -> None:
    first = sample.first("key")
    commit(stores.unit_of_work(sample.context), [created("key", first)])
    commit(stores.unit_of_work(sample.context), [Change("key", 1, 2, first)])
    with pytest.raises(StaleVersionError):
        commit(stores.unit_of_work(sample.context), [Change("key", 1, 2, sample.changed(first))])
    with stores.unit_of_work(sample.context) as uow:
        assert uow.repository.load(["key"]) == {"key": Versioned(first, 2)}


@each_aggregate
def test_an_instance_is_created_once(stores: Stores, sample: Sample) -> None:
    commit(stores.unit_of_work(sample.context), [created("key", sample.first("key"))])
    with pytest.raises(StaleVersionError):
        commit(stores.unit_of_work(sample.context), [created("key", sample.changed(sample.first("key")))])


@each_aggregate
def test_an_instance_that_is_gone_is_not_changed(stores: Stores, sample: Sample) -> None:
    with pytest.raises(StaleVersionError):
        commit(stores.unit_of_work(sample.context), [Change("nobody", 1, 2, sample.first("nobody"))])


@each_aggregate
@pytest.mark.parametrize("seen", [{"key": 1}, {"key": 0}, {"other": 1}], ids=["changed", "come to be", "gone"])
def test_a_stale_writer_may_not_even_refuse(stores: Stores, sample: Sample, seen: dict[str, int]) -> None:
    commit(stores.unit_of_work(sample.context), [created("key", sample.first("key"))])
    commit(stores.unit_of_work(sample.context), [Change("key", 1, 2, sample.first("key"))])
    with pytest.raises(StaleVersionError):
        commit(stores.unit_of_work(sample.context), unchanged=seen, marks=[a_mark("refused")])
    with stores.unit_of_work(sample.context) as uow:
        assert uow.inbox.handled(["refused"]) == {}


@each_aggregate
def test_what_was_only_looked_at_and_stayed_is_no_obstacle(stores: Stores, sample: Sample) -> None:
    commit(stores.unit_of_work(sample.context), [created("key", sample.first("key"))])
    commit(stores.unit_of_work(sample.context), unchanged={"key": 1, "nobody": 0}, marks=[a_mark("refused")])
    with stores.unit_of_work(sample.context) as uow:
        assert list(uow.inbox.handled(["refused"])) == ["refused"]


def test_one_stale_change_stops_the_whole_turn(stores: Stores, run: Async) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a"))])
    with pytest.raises(StaleVersionError):
        commit(
            stores.unit_of_work("auth"),
            [created("b", a_user("b")), Change("a", 7, 8, a_user("a"))],
            marks=[a_mark("message")],
            events=[an_event("event")],
        )
    with stores.unit_of_work("auth") as uow:
        assert uow.repository.load(["b"]) == {"b": Versioned(None, 0)}
        assert uow.inbox.handled(["message"]) == {}
    assert run(stores.outbox_reader("auth").pending(skip=(), limit=10)) == []


def test_what_is_not_committed_never_was(stores: Stores, run: Async) -> None:
    with stores.unit_of_work("auth") as uow:
        uow.repository.save([created("a", a_user("a"))], [], {})
        uow.inbox.mark([a_mark("message")])
        uow.outbox.add([an_event("event")])
    with stores.unit_of_work("auth") as uow:
        uow.commit()
        assert uow.repository.load(["a"]) == {"a": Versioned(None, 0)}
        assert uow.inbox.handled(["message"]) == {}
    assert run(stores.outbox_reader("auth").pending(skip=(), limit=10)) == []


def test_an_error_in_the_block_is_raised_and_stores_nothing(stores: Stores) -> None:
    def fail() -> None:
        with stores.unit_of_work("auth") as uow:
            uow.repository.save([created("a", a_user("a"))], [], {})
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        fail()
    with stores.unit_of_work("auth") as uow:
        assert uow.repository.load(["a"]) == {"a": Versioned(None, 0)}


def test_after_a_refusal_the_next_turn_is_as_good_as_any(stores: Stores) -> None:
    for round_number in range(8):  # enough for the driver to prepare its statements
        name = f"user-{round_number}"
        commit(stores.unit_of_work("auth"), [created(name, a_user(name))], marks=[a_mark(name)])
        with pytest.raises(DuplicateMessageError):
            commit(stores.unit_of_work("auth"), [created(f"{name}b", a_user(f"{name}b"))], marks=[a_mark(name)])
        with pytest.raises(StaleVersionError):
            commit(stores.unit_of_work("auth"), [created(name, a_user(name))], marks=[a_mark(f"{name}b")])
    with stores.unit_of_work("auth") as uow:
        assert uow.repository.load(["user-7"])["user-7"].version == 1


def test_a_redelivered_message_is_known_before_anything_else_is_wrong(stores: Stores) -> None:
    commit(stores.unit_of_work("auth"), [created("a", a_user("a", "name"))], marks=[a_mark("message")])
    with pytest.raises(DuplicateMessageError):
        commit(stores.unit_of_work("auth"), [created("b", a_user("b", "name"))], marks=[a_mark("message")])


@each_aggregate
def test_what_somebody_else_holds_is_named_and_not_written(stores: Stores, sample: Sample) -> None:
    first = sample.first("held")
    commit(stores.unit_of_work(sample.context), [created("held", first), created("free", sample.first("free"))])
    with stores.locked(sample.context, "held"):
        with pytest.raises(RowLockedError):
            commit(stores.unit_of_work(sample.context), [Change("held", 1, 2, sample.changed(first))])
        with stores.unit_of_work(sample.context) as uow:
            assert uow.repository.locked(["free", "held", "nobody"]) == {"held"}
    commit(stores.unit_of_work(sample.context), [Change("held", 1, 2, sample.changed(first))])
    with stores.unit_of_work(sample.context) as uow:
        assert uow.repository.locked(["free", "held", "nobody"]) == frozenset()


def test_no_aggregate_is_left_out() -> None:
    assert {sample.context for _, sample in EACH} == {*ACCOUNTS.contexts, *STOCK.contexts}
