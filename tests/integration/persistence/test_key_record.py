"""A daemon with none of the keys that were in use says so, and names no secret; one that shares a key goes on."""

from __future__ import annotations

import pytest

from spark_actors.identity.signing_keys import new_key
from spark_actors.persistence.key_record import ForeignKeysError, refuse_foreign_keys, remember_keys

OLD, NEW, FOREIGN = new_key("old"), new_key("new"), new_key("old")
"""Of the last the id alone is known."""


def test_whoever_comes_first_may_have_any_keys(database: str) -> None:
    refuse_foreign_keys(database, [FOREIGN])


def test_one_of_the_keys_that_were_in_use_is_enough(database: str) -> None:
    remember_keys(database, [OLD])
    refuse_foreign_keys(database, [NEW, OLD])
    remember_keys(database, [NEW, OLD])
    refuse_foreign_keys(database, [NEW])


def test_none_of_them_is_refused_in_words_without_secrets(database: str) -> None:
    remember_keys(database, [OLD])
    with pytest.raises(ForeignKeysError, match="copy them here") as refused:
        refuse_foreign_keys(database, [FOREIGN, NEW])
    assert not any(key.secret in str(refused.value) for key in (OLD, NEW, FOREIGN))


def test_what_is_in_use_no_more_is_forgotten(database: str) -> None:
    remember_keys(database, [OLD])
    remember_keys(database, [NEW])
    with pytest.raises(ForeignKeysError):
        refuse_foreign_keys(database, [OLD])
