"""What the ingress groups of a deployment take from the broker: together all that there is, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.groups import IngressSettings
from config.settings import Settings
from domain.application import APPLICATION
from spark_actors.bootstrap.ingress import nats_settings
from spark_actors.deployment import Deployment
from spark_actors.ingress.nats_broker import BrokerSettings
from tests.fixtures.application import WRITING as ALL


def broker_settings(*groups: tuple[str, ...]) -> list[BrokerSettings]:
    settings = Settings(ingress=IngressSettings.model_validate({"groups": groups}))
    deployment = Deployment(settings, {}, {}, "", "", log_file=Path(), ray_namespace="spark")
    return [nats_settings(deployment, group) for group in range(len(groups))]


def test_a_single_group_takes_what_names_no_context_too() -> None:
    [only] = broker_settings(ALL)
    assert only.subjects == only.stream_subjects == ("spark.commands.>",)
    assert only.query_subjects == ("spark.queries.>",)


@pytest.mark.parametrize("groups", [(ALL[:1], ALL[1:]), (ALL[2:], ALL[:2]), tuple((name,) for name in ALL)])
def test_several_groups_take_all_that_the_stream_takes_and_none_of_it_twice(
    groups: tuple[tuple[str, ...], ...],
) -> None:
    found = broker_settings(*groups)
    [stream] = {settings.stream_subjects for settings in found}
    assert sorted(subject for settings in found for subject in settings.subjects) == sorted(stream)
    assert set(stream) == {f"spark.commands.{context}.>" for context in ALL}


def test_several_groups_answer_the_queries_of_their_own_contexts_and_the_first_those_of_contexts_in_none() -> None:
    first, second = broker_settings(ALL[1:], ALL[:1])
    assert second.query_subjects == (f"spark.queries.{ALL[0]}.>",)
    others = {"operations", *(each.name for each in APPLICATION.contexts)} - {ALL[0]}
    assert set(first.query_subjects) == {f"spark.queries.{context}.>" for context in others}
    assert others > set(ALL[1:])
