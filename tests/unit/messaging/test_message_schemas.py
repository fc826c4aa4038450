"""The schemas that are derived from the domain's dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from pydantic import ValidationError

from spark_actors.messaging.schemas import Schemas


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Painted:
    colour: Colour
    is_dry: bool = False


@dataclass(frozen=True)
class WithBytes:
    content: bytes


@dataclass(frozen=True)
class WithFactory:
    names: tuple[str, ...] = field(default_factory=tuple)


def test_an_enum_is_taken_by_its_value_and_only_by_a_known_one() -> None:
    schema = Schemas().of(Painted)
    assert schema.model_validate({"colour": "red"}).__dict__ == {"colour": Colour.RED, "is_dry": False}
    with pytest.raises(ValidationError):
        schema.model_validate({"colour": "blue"})


def test_a_bool_is_no_number() -> None:
    with pytest.raises(ValidationError):
        Schemas().of(Painted).model_validate({"colour": "red", "is_dry": 1})


def test_each_schema_is_derived_once() -> None:
    schemas = Schemas()
    assert schemas.of(Painted) is schemas.of(Painted)


@pytest.mark.parametrize(("cls", "part"), [(WithBytes, "content"), (WithFactory, "WithFactory.names")])
def test_a_field_without_a_form_on_the_wire_is_a_programming_error(cls: type, part: str) -> None:
    with pytest.raises(TypeError, match=part):
        Schemas().of(cls)
