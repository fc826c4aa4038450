"""What the driver raises and what we make of it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from spark_actors.kernel.errors import ConstraintError, RowLockedError, StorageUnavailableError
from spark_actors.persistence.errors import UNSTORABLE_VALUE, translate, translated


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the connection is lost"),
        psycopg.InterfaceError("the connection is closed"),
        errors.SerializationFailure(),
        errors.DeadlockDetected(),
        errors.TooManyConnections(),
        errors.AdminShutdown(),
        errors.ReadOnlySqlTransaction(),
        errors.DiskFull(),
        errors.OutOfMemory(),
        errors.CannotConnectNow(),
        errors.CrashShutdown(),
        errors.QueryCanceled(),
        errors.CheckViolation("no partition of relation found for row"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_next_time_is_called_unavailable(error: psycopg.Error) -> None:
    assert type(translate(error)) is StorageUnavailableError


@pytest.mark.parametrize(
    "error",
    [
        psycopg.DataError("text cannot contain NUL"),
        errors.NumericValueOutOfRange(),
        errors.InvalidTextRepresentation(),
        errors.ProgramLimitExceeded(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_value_that_cannot_be_stored_is_the_fault_of_one_row(error: psycopg.Error) -> None:
    refused = translate(error)
    assert isinstance(refused, ConstraintError)
    assert refused.constraint == UNSTORABLE_VALUE


def test_a_lock_that_is_not_to_be_had_may_pass_next_time_and_is_told_apart() -> None:
    refused = translate(errors.LockNotAvailable())
    assert type(refused) is RowLockedError
    assert isinstance(refused, StorageUnavailableError)


@pytest.mark.parametrize("error", [errors.UndefinedTable("no such table"), errors.InsufficientPrivilege("no grant")])
def test_a_fault_of_the_deployment_gives_up_nothing(error: errors.Error) -> None:
    assert type(translate(error)) is StorageUnavailableError


def test_the_cause_is_kept() -> None:
    cause = errors.DeadlockDetected("a detail")

    def fail() -> None:
        with translated():
            raise cause

    with pytest.raises(StorageUnavailableError, match="40P01: a detail") as raised:
        fail()
    assert raised.value.__cause__ is cause
