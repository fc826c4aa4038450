"""Derived ids are UUIDs of version 5, the same for the same cause."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from hypothesis import given
from hypothesis import strategies as st

from domain.shared.ids import derived_id


@given(cause=st.text(), step=st.text(), index=st.integers())
def test_a_derived_id_is_the_uuid_that_the_standard_library_makes(cause: str, step: str, index: int) -> None:
    namespace = uuid5(NAMESPACE_URL, "spark:message")
    try:
        expected = str(uuid5(namespace, f"{cause}/{step}/{index}"))
    except UnicodeEncodeError:
        return
    assert derived_id(cause, step, index) == expected
