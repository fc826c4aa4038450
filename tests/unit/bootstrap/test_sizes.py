"""How many sessions of Postgres a deployment needs; that it opens no more is tested on running actors."""

from __future__ import annotations

from config.settings import Settings, load_settings
from domain.application import APPLICATION
from spark_actors.bootstrap.sizes import sessions_needed
from tests.fixtures.application import SCHEMAS


def everywhere(dsn: str, **others: str) -> dict[str, str]:
    return {**dict.fromkeys(SCHEMAS, dsn), **others}


def test_each_actor_more_takes_a_session_in_each_context() -> None:
    few, more = (
        sessions_needed(
            APPLICATION, load_settings(placement__aggregate_actors=actors), everywhere("a"), everywhere("a")
        )["a"]
        for actors in (2, 5)
    )
    assert more - few == 3 * len(APPLICATION.writing)


def test_a_context_elsewhere_takes_its_sessions_along() -> None:
    together = sessions_needed(APPLICATION, Settings(), everywhere("a"), everywhere("a"))
    apart = sessions_needed(APPLICATION, Settings(), everywhere("a", bitcoin="b"), everywhere("a", bitcoin="b"))
    assert apart.keys() == {"a", "b"}
    assert apart["a"] < together["a"] <= sum(apart.values())


def test_what_goes_through_a_pooler_does_not_count() -> None:
    pooled = sessions_needed(APPLICATION, Settings(), everywhere("pooler"), everywhere("direct"))
    assert pooled.keys() == {"direct"}
    assert pooled["direct"] < 15
