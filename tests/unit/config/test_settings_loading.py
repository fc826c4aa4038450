"""Settings come from four places, and a wrong one is refused with its name, its value and what was expected."""

import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config import SettingsError, load_settings
from tests.fixtures.application import SCHEMAS


def refusal(file: Path | None = None, **overrides: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load_settings(file, **overrides)
    return caught.value


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "spark.toml"


def test_a_flag_goes_over_the_environment_over_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch, toml: Path
) -> None:
    assert load_settings().turns.max_commands == 500
    toml.write_text("[turns]\nmax_commands = 1\nmax_attempts = 2\n[http]\nport = 3\n")
    assert load_settings(toml).turns.max_commands == 1
    monkeypatch.setenv("SPARK_TURNS__MAX_COMMANDS", "10")
    monkeypatch.setenv("SPARK_TURNS__MAX_ATTEMPTS", "20")
    assert load_settings(toml).turns.max_commands == 10
    settings = load_settings(toml, turns__max_commands=100)
    assert (settings.turns.max_commands, settings.turns.max_attempts, settings.http.port) == (100, 20, 3)


def test_a_flag_that_was_not_given_does_not_count() -> None:
    assert load_settings(nats__port=None, data_dir=None) == load_settings()


def test_lists_and_tables_come_as_json_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_INGRESS__GROUPS", '[["auth", "accounting"], ["crowdfunding", "bitcoin"]]')
    monkeypatch.setenv("SPARK_PLACEMENT__DEDICATED_KINDS", '{"crowdfunding": 2}')
    monkeypatch.setenv("SPARK_PLACEMENT__DEDICATED_KINDS__AUTH", "1")
    settings = load_settings()
    assert settings.ingress.groups == (("auth", "accounting"), ("crowdfunding", "bitcoin"))
    assert settings.placement.dedicated_kinds == {"crowdfunding": 2, "auth": 1}


def test_the_data_dir_does_not_depend_on_the_working_directory_of_an_actor() -> None:
    assert load_settings().data_dir == Path.cwd() / ".spark"
    assert load_settings(data_dir="~/spark").data_dir == Path.home() / "spark"


def test_a_wrong_variable_is_refused_by_its_name_value_and_expectation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_NATS__PORT", "forty-two")
    error = refusal()
    assert (error.name, error.value, error.expected) == ("nats.port", "'forty-two'", "a valid integer")
    assert "nats.port = 'forty-two' (from SPARK_NATS__PORT)" in str(error)


def test_a_wrong_value_in_a_file_is_refused_by_the_name_of_the_file(toml: Path) -> None:
    toml.write_text("[relay]\npoll_interval_seconds = -1\n")
    error = refusal(toml)
    assert (error.name, error.source, error.expected) == ("relay.poll_interval_seconds", str(toml), "greater than 0")


@pytest.mark.parametrize("name", ["SPARK_HOME", "SPARK_NTS__PORT", "SPARK_NATS__PROT", "SPARK_", "spark_nats__prot"])
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert refusal().source == name


LINKS = {
    "SPARK_SERVICE_HOST": "10.96.0.17",
    "SPARK_SERVICE_PORT": "9464",
    "SPARK_SERVICE_PORT_HTTP": "9464",
    "SPARK_PORT": "tcp://10.96.0.17:9464",
    "SPARK_PORT_9464_TCP": "tcp://10.96.0.17:9464",
    "SPARK_PORT_9464_TCP_PROTO": "tcp",
    "SPARK_PORT_9464_TCP_PORT": "9464",
    "SPARK_PORT_9464_TCP_ADDR": "10.96.0.17",
    "SPARK_NATS_SERVICE_HOST": "10.96.0.18",
    "SPARK_NATS_SERVICE_PORT": "4222",
    "SPARK_NATS_PORT": "tcp://10.96.0.18:4222",
    "SPARK_NATS_PORT_4222_TCP_ADDR": "10.96.0.18",
}
"""What a container finds beside services called `spark` and `spark-nats`."""


def test_what_kubernetes_sets_for_services_of_our_name_is_passed_over_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = load_settings()
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPARK_NATS__PORT", "4300")
    assert load_settings() == expected.changed(nats__port=4300)
    (told,) = [record.getMessage() for record in caplog.records]
    assert all(name in told for name in LINKS)
    assert "SPARK_NATS__PORT" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [("SPARK_NATS_PORT", "4300"), ("SPARK_HTTP_PORT", "0"), ("SPARK_PORT", "9464"), ("SPARK_SERVICE_PORT", "http")],
)
def test_what_only_looks_like_a_service_link_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert refusal().source == name


def test_an_unknown_name_is_refused_with_the_likely_one_first_and_without_its_value(toml: Path) -> None:
    toml.write_text('[nats]\ntokn = "s3cret"\n')
    error = refusal(toml)
    assert error.name == "nats.tokn"
    assert error.expected.startswith("'token', or another known name:")
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SPARK_POSTGRES__DSN", "mysql://u:s3cret@h/d"),
        ("SPARK_POSTGRES__CONTEXT_DSN__AUTH", "s3cret"),
        ("SPARK_POSTGRES__CONTEXT_DSN", "s3cret"),
        ("SPARK_NATS", "s3cret"),
        ("SPARK_NATS", '["s3cret"]'),
        ("SPARK_NATS__TOKEN__X", "s3cret"),
        ("SPARK_NATS__URL", "http://s3cret@h:1"),
        ("SPARK_HTTP__PORT", "postgresql://u:s3cret@h/d"),
    ],
)
def test_no_secret_is_in_an_error(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    error = refusal()
    assert "s3cret" not in str(error) + repr(error)
    assert "s3cret" not in "".join(traceback.format_exception(error))
    assert error.source == variable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nats.port", 65_536),
        ("nats.port", True),
        ("nats.stream_replicas", 0),
        ("http.port", -1),
        ("turns.max_commands", 0),
        ("turns.max_commands", 1.5),
        ("supervision.patience_seconds", 0.1),
        ("supervision.patience_seconds", float("inf")),
        ("shutdown.grace_seconds", float("nan")),
        ("relay.retry_ceiling_seconds", 0.1),
        ("relay.max_in_flight_events", 499),
        ("lightning.node", "lnbits"),
        ("lightning.node", "eclair"),
        ("lightning.network", "mainnet"),
        ("lightning.lnbits.url", "lnbits.example.org"),
        ("lightning.lnbits.url", "https://user:secret@lnbits.example.org"),
        ("lightning.lnd.macaroon_file", "spark.macaroon"),
        ("lightning.simulated.failure_rate", 1.1),
        ("log.level", "loud"),
        ("ingress.groups", [["auth", "accounting", "crowdfunding"]]),
        ("ingress.groups", [["auth", "accounting", "crowdfunding", "bitcoin"], ["auth"]]),
        ("ingress.groups", [["auth", "accounting", "crowdfunding", "bitcoin"], []]),
        ("data_dir", ""),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: Any) -> None:
    assert refusal(**{name.replace(".", "__"): value}).name == name


@pytest.mark.parametrize("name", ["nats.ack_wait_seconds", "relay.retry_ceiling_seconds"])
def test_an_inbox_that_forgets_before_a_message_comes_again_is_refused(name: str) -> None:
    given: dict[str, Any] = {name.replace(".", "__"): 86_400}
    error = refusal(**given, retention__inbox_days=1)
    assert (error.name, error.value, error.source) == ("retention.inbox_days", "1", "option")
    assert error.expected.startswith(f"longer than {name}, which is 86400 s")
    assert load_settings(**given, retention__inbox_days=2).retention.inbox_days == 2


def test_rates_of_failure_and_unknown_results_leave_room_for_each_other() -> None:
    simulated = {"failure_rate": 0.6, "unknown_rate": 0.6}
    assert refusal(lightning__simulated=simulated).name == "lightning.simulated.unknown_rate"


@pytest.mark.parametrize("instance", ["auth", "auth:", "dashboard:x"])
def test_a_dedicated_instance_is_named_by_its_context_and_key(instance: str) -> None:
    assert refusal(placement__dedicated_instances=[instance]).value == repr(instance)
    assert load_settings(placement__dedicated_instances=["crowdfunding:a:b"]).placement.dedicated_instances


def test_the_token_of_the_command_line_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings()
    monkeypatch.setenv("SPARK_TOKEN", "s3cret")
    assert load_settings() == before


def test_all_wrong_settings_are_told_at_once() -> None:
    error = refusal(nats__port=-1, http__port=-1)
    assert (error.name, [other.name for other in error.also]) == ("nats.port", ["http.port"])
    assert "http.port" in str(error)


@pytest.mark.parametrize("content", ["[nats", "nats = ", b"\xff"])
def test_a_file_that_is_not_toml_is_refused(toml: Path, content: str | bytes) -> None:
    toml.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(toml).name == "--config"


def test_a_file_that_is_missing_is_refused(toml: Path) -> None:
    assert "No such file" in str(refusal(toml))


def test_a_settings_error_survives_a_process_boundary() -> None:
    error = refusal(nats__port=-1, http__port=-1)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.name == error.name


def test_settings_survive_a_process_boundary_unchanged_and_unread_again(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(postgres__dsn="postgresql://u:p@h/d", placement__dedicated_kinds={"auth": 1})
    packed = pickle.dumps(settings)
    monkeypatch.setenv("SPARK_NATS__PORT", "1")
    assert pickle.loads(packed) == settings


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        load_settings().nats.port = 1  # type: ignore[misc]


def test_the_text_form_of_settings_shows_no_secret() -> None:
    settings = load_settings(
        postgres={"dsn": "postgresql://u:s3cret@h/d", "context_dsn": {"auth": "password=s3cret"}},
        nats={"token": "s3cret", "url": "nats://s3cret@h"},
    )
    assert "s3cret" not in repr(settings) + str(settings)


def test_a_context_has_its_own_dsn_or_the_common_one() -> None:
    settings = load_settings(
        postgres={
            "dsn": "dbname=common",
            "listen_dsn": "dbname=common port=5432",
            "context_dsn": {"auth": "dbname=auth", "bitcoin": "dbname=bitcoin"},
            "context_listen_dsn": {"bitcoin": "dbname=bitcoin port=5432"},
        }
    )
    assert settings.dsn_of("auth") == settings.listen_dsn_of("auth") == "dbname=auth"
    assert settings.dsn_of("dashboard") == "dbname=common"
    assert settings.listen_dsn_of("dashboard") == "dbname=common port=5432"
    assert settings.listen_dsn_of("bitcoin") == "dbname=bitcoin port=5432"
    assert load_settings(postgres__dsn="dbname=common").listen_dsn_of("auth") == "dbname=common"


def test_embedded_services_are_needed_where_no_address_is_set() -> None:
    settings = load_settings()
    assert settings.needs_embedded_postgres
    assert settings.needs_embedded_nats
    assert settings.needs_embedded_ray
    elsewhere = settings.changed(postgres__dsn="dbname=x", nats__url="nats://a, tls://b", ray__address="host:6379")
    assert not elsewhere.needs_embedded_postgres
    assert not elsewhere.needs_embedded_nats
    assert not elsewhere.needs_embedded_ray


@pytest.mark.parametrize(
    "elsewhere",
    [
        {},
        {"postgres__dsn": "dbname=x"},
        {"nats__url": "nats://a"},
        {"nats__url": "nats://a", "postgres__context_dsn": {"auth": "dbname=x"}},
    ],
)
def test_actors_on_other_machines_cannot_use_what_is_built_in(elsewhere: dict[str, Any], toml: Path) -> None:
    toml.write_text('[ray]\naddress = "10.0.0.7:6379"\n')
    error = refusal(toml, **elsewhere)
    assert (error.name, error.value, error.source) == ("ray.address", "'10.0.0.7:6379'", str(toml))
    missing = {"postgres.dsn": "postgres__dsn" not in elsewhere, "nats.url": "nats__url" not in elsewhere}
    assert {name for name in missing if name in error.expected} == {name for name, is_so in missing.items() if is_so}
    assert load_settings(toml, postgres__dsn="dbname=x", nats__url="nats://a").ray.address == "10.0.0.7:6379"


def test_no_embedded_postgres_is_needed_when_each_context_has_a_dsn() -> None:
    each = {context: f"dbname={context}" for context in SCHEMAS}
    assert not load_settings(postgres__context_dsn=each).needs_embedded_postgres
    assert load_settings(postgres__context_dsn=each | {"ingress": ""}).needs_embedded_postgres


def test_a_changed_copy_keeps_the_rest_and_is_checked() -> None:
    settings = load_settings(nats__port=0, nats__token="t")
    changed = settings.changed(nats__url="nats://127.0.0.1:1")
    assert (changed.nats.port, changed.nats.token.get_secret_value()) == (0, "t")
    assert changed.changed(nats__url="") == settings
    with pytest.raises(SettingsError, match=r"nats\.port"):
        settings.changed(nats__port=-1)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("domain.nothing:APPLICATION", "none of that name"),
        ("domain.application", "none of that name"),
        ("domain.application:Path", "of type type"),
    ],
)
def test_an_application_that_is_none_is_refused_and_said_where_it_was_named(
    monkeypatch: pytest.MonkeyPatch, name: str, part: str
) -> None:
    monkeypatch.setenv("SPARK_APPLICATION", name)
    with pytest.raises(SettingsError, match=part) as refused:
        load_settings()
    assert (refused.value.name, refused.value.source) == ("application", "SPARK_APPLICATION")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_pages_are_not_served_in_the_open_unless_somebody_wants_it(host: str) -> None:
    assert refusal(web__host=host).name == "web.host"
    assert load_settings(web={"host": host, "public_url": "https://give.example.org/"}).web.public_url.endswith("org")
    assert load_settings(web={"host": host, "plain_http": True}).web.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_pages_on_loopback_are_for_this_machine_alone(host: str) -> None:
    assert load_settings(web__host=host).web.host == host


@pytest.mark.parametrize(
    "url", ["give.example.org", "ftp://x", "https://", "https://u:p@x", "https://x/path", "https://x?q"]
)
def test_a_public_address_is_that_of_a_host_alone(url: str) -> None:
    assert refusal(web__public_url=url).name == "web.public_url"
