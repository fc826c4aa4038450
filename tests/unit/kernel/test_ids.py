"""Ids that differ look different; derived ones are UUIDs of version 5, the same for the same cause."""

from __future__ import annotations

import sys
from unicodedata import category, is_normalized
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_actors.kernel.ids import MAX_ID_LENGTH, derived_id, flaw_of_id, is_id, is_subject


@given(cause=st.text(), step=st.text(), index=st.integers())
def test_a_derived_id_is_the_uuid_that_the_standard_library_makes(cause: str, step: str, index: int) -> None:
    namespace = uuid5(NAMESPACE_URL, "spark:message")
    try:
        expected = str(uuid5(namespace, f"{cause}/{step}/{index}"))
    except UnicodeEncodeError:
        return
    assert derived_id(cause, step, index) == expected


GOOD = [
    "a",
    "0b0f7e9c-52a1-4d5e-9a43-6f2c1f0d8a11",
    "deposit/7",
    "rémy",
    "Ωmega",
    "山田",
    "ανάγκη",
    "x" * MAX_ID_LENGTH,
]
UNSEEN = [
    *("\u3164", "\u2800", "\u115f", "\uffa0", "\u034f", "\u17b4", "\U0001d159"),  # letters, marks, symbols
    *("\ufe0f", "\ufe00", "\U000e0100", "\u180b"),  # variation selectors
    *("\u200b", "\u200d", "\u202e", "\u00ad", "\ufeff", "\u2065", "\U000e0041"),  # format characters, unassigned ones
    *("\u00a0", "\u2003", "\u3000", "\u2028", "\t", "\n", "\x00", "\x7f", "\ud800", "\ue000"),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_can_be_seen_and_is_written_in_one_way_only_is_an_id(text: str) -> None:
    assert is_id(text), flaw_of_id(text)


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_an_id_has_nothing_that_nobody_sees(unseen: str) -> None:
    for text in (unseen, f"ann{unseen}", f"a{unseen}nn"):
        assert "cannot be seen" in flaw_of_id(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "at least 1"),
        ("x" * (MAX_ID_LENGTH + 1), "at most 200"),
        ("a b", "a space"),
        ("re\u0301my", "normal form C"),
        ("\u212b", "normal form C"),
    ],
)
def test_what_is_no_id_is_told_in_words(text: str, part: str) -> None:
    assert part in flaw_of_id(text)


def test_of_all_characters_those_alone_are_in_an_id_that_are_seen_and_stand_for_themselves() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if is_id(f"a{character}"):
            assert category(character)[0] not in "CZ"
            assert is_normalized("NFC", f"a{character}")


def test_what_is_the_systems_own_names_nobody() -> None:
    assert is_subject("ann")
    assert not is_subject("@transit")
