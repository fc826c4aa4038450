"""What libraries do without having promised it, and what rests on it here: see docs/what-we-hold-by-hand.md."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter

from config.settings import Settings
from config.sources import environment_layers
from domain.crowdfunding.messages import CreateCampaign
from spark_actors.messaging.cloudevents import event_type
from spark_actors.messaging.schemas import Schemas
from spark_actors.telemetry.metrics import _samples

DATA = {"campaign_id": "well", "account_id": "ada", "title": "A well", "description": "Water", "goal_sat": 5000}


def test_the_validator_of_a_model_gives_what_the_model_itself_does() -> None:
    schema = Schemas().event_of(CreateCampaign)
    event = {"specversion": "1.0", "id": "m", "source": "s", "type": event_type(CreateCampaign.TYPE), "data": DATA}
    given = {**event, "region": "north"}
    checked = schema.__pydantic_validator__.validate_python(given)
    assert checked == schema.model_validate(given)
    assert checked.data.__dict__ == DATA
    assert checked.__dict__.keys() == schema.model_fields.keys()
    assert checked.model_extra == {"region": "north"}


def test_each_variable_is_a_layer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HTTP__PORT", "1")
    monkeypatch.setenv("SPARK_NATS__PORT", "2")
    layers = {layer.source: layer.values for layer in environment_layers(Settings)}
    assert layers["SPARK_HTTP__PORT"] == {"http": {"port": "1"}}
    assert layers["SPARK_NATS__PORT"] == {"nats": {"port": "2"}}


def test_creation_times_are_told_from_what_is_counted_by_their_names() -> None:
    registry = CollectorRegistry()
    Counter("spark_letters", "Letters.", registry=registry).inc()
    [family] = registry.collect()
    assert [sample.name for sample in family.samples] == ["spark_letters_total", "spark_letters_created"]
    assert [value for _, value in _samples(family)] == [1.0]
