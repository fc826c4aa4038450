"""The files for compose and for Kubernetes name settings, options and variables that there are, and wait for drains."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it comes with Ray

from config.settings import load_settings
from spark_actors.bootstrap.sizes import sessions_needed
from spark_actors.cli.daemon import Target
from spark_actors.daemon import SLACK_SECONDS
from spark_actors.embedded.ray_node import ENVIRONMENT, PINNED_VERSION
from spark_actors.version import version
from tests.fixtures.pages import block
from tests.unit.docs.test_code_blocks import mistake

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SECRET, RAY_VARIABLES = yaml.safe_load_all((DEPLOY / "kuberay" / "settings.yaml").read_text("utf-8"))
RAY_CLUSTER = yaml.safe_load((DEPLOY / "kuberay" / "raycluster.yaml").read_text("utf-8"))
DRIVER, SERVICE = yaml.safe_load_all((DEPLOY / "kuberay" / "driver.yaml").read_text("utf-8"))
HEAD = RAY_CLUSTER["spec"]["headGroupSpec"]
[WORKERS] = RAY_CLUSTER["spec"]["workerGroupSpecs"]
PODS = {
    "head": HEAD["template"]["spec"],
    "worker": WORKERS["template"]["spec"],
    "driver": DRIVER["spec"]["template"]["spec"],
}
RAY_STOP_SECONDS = 15


def settings_of(variables: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> Any:
    """As a daemon would have them; what is asked of the operator is filled in."""
    for name, value in variables.items():
        if name.startswith("SPARK_") and name != "SPARK_NODE_FOLDER":
            text = re.sub(r"\$\{\w+:\?\}", "given", str(value))
            monkeypatch.setenv(name, text or ("host=there" if name.endswith("DSN") else ""))
    return load_settings()


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


# --- Prometheus ---


def test_the_page_has_prometheus_ask_where_it_is_told() -> None:
    [scraped] = yaml.safe_load(block(ROOT / "docs" / "operations.md", "scrape_configs").text)["scrape_configs"]
    [asked] = scraped["http_sd_configs"]
    assert asked["url"].endswith(f":{load_settings().http.port}/sd")


# --- compose ---


def test_compose_names_settings_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    head = settings_of(COMPOSE["services"]["head"]["environment"], monkeypatch)
    assert not head.needs_embedded_postgres
    assert not head.needs_embedded_nats
    assert head.cluster.listen == COMPOSE["services"]["head"]["networks"]["spark"]["ipv4_address"]
    assert head.nats.url == ",".join(f"nats://{name}:4222" for name in sorted(COMPOSE["services"]) if "nats" in name)
    assert head.nats.stream_replicas == 3


@pytest.mark.parametrize("name", ["head", "node-1", "node-2"])
def test_compose_starts_commands_that_there_are_and_waits_for_their_drains(name: str) -> None:
    service, settings = COMPOSE["services"][name], load_settings()
    assert mistake(["spark-actors", *service["command"]]) == ""
    worst = settings.shutdown.grace_seconds + SLACK_SECONDS if name == "head" else settings.cluster.drain_seconds
    assert seconds(service["stop_grace_period"]) > worst + RAY_STOP_SECONDS
    assert str(settings.http.port) in service["healthcheck"]["test"][-1]


def test_the_database_of_compose_has_room_for_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(COMPOSE["services"]["head"]["environment"], monkeypatch)
    application = Target().application()
    here = dict.fromkeys(application.schemas, "here")
    [most] = [int(word.partition("=")[2]) for word in COMPOSE["services"]["postgres"]["command"] if "=" in word]
    assert most > 1.2 * sessions_needed(application, settings, here, here)["here"]


def test_the_image_has_all_that_the_package_is_made_of() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    files = [name for line in copied for name in line.split()]
    let_through = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()}
    assert [name for name in files if not (ROOT / name).exists() or name not in let_through] == []
    assert {"config", "domain", "spark_actors", "requirements.lock"} <= set(files)


# --- Kubernetes ---


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for pod, spec in PODS.items():
        for container in [*spec["initContainers"], *spec["containers"]]:
            yield pod, container


def test_ray_reads_the_same_in_all_pods_as_where_it_is_built_in() -> None:
    assert RAY_VARIABLES["data"] == dict(ENVIRONMENT)
    both = [{"secretRef": {"name": SECRET["metadata"]["name"]}}, {"configMapRef": {"name": "spark-ray"}}]
    assert [f"{pod}: {each['name']}" for pod, each in containers() if each["envFrom"] != both] == []
    assert RAY_CLUSTER["spec"]["rayVersion"] == PINNED_VERSION


def test_the_secret_names_settings_that_there_are_and_holds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(SECRET["stringData"], monkeypatch)
    assert not settings.needs_embedded_nats
    assert (settings.nats.token.get_secret_value(), settings.identity.keys) == ("", ())
    assert SECRET["stringData"]["RAY_AUTH_TOKEN"] == ""


def test_the_daemon_works_on_the_cluster_that_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    [daemon] = [each for each in PODS["driver"]["containers"] if each["name"] == "daemon"]
    own = {each["name"]: each["value"] for each in daemon["env"]}
    settings = settings_of({**SECRET["stringData"], **own}, monkeypatch)
    assert settings.ray.address == f"{RAY_CLUSTER['metadata']['name']}-head-svc:6379"
    assert mistake(["spark-actors", *daemon["args"]]) == ""
    assert daemon["ports"][0]["containerPort"] == settings.http.port == SERVICE["spec"]["ports"][0]["port"]


def test_actors_ask_for_no_cpu_and_nothing_is_scaled_by_it() -> None:
    assert RAY_CLUSTER["spec"]["enableInTreeAutoscaling"] is False
    assert WORKERS["minReplicas"] == WORKERS["replicas"] == WORKERS["maxReplicas"]
    assert {group["rayStartParams"]["num-cpus"] for group in (HEAD, WORKERS)} == {"0"}
    assert "--num-cpus 0" in PODS["driver"]["containers"][0]["command"][-1]


@pytest.mark.parametrize("pod", PODS)
def test_every_pod_is_prepared_where_its_actors_look(pod: str) -> None:
    [prepare] = PODS[pod]["initContainers"]
    folder = shlex.split(prepare["command"][-1])[-1]
    ray = PODS[pod]["containers"][0]
    assert {"name": "SPARK_NODE_FOLDER", "value": folder} in ray["env"]
    assert {"name": "spark", "mountPath": folder} in ray["volumeMounts"]
    assert prepare["volumeMounts"] == ray["volumeMounts"]


def test_a_worker_hands_over_before_it_ends() -> None:
    drain = shlex.split(PODS["worker"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])[1:]
    assert mistake(drain) == ""
    patience = float(drain[drain.index("--timeout") + 1])
    assert patience > load_settings().cluster.drain_seconds
    assert PODS["worker"]["terminationGracePeriodSeconds"] >= patience + RAY_STOP_SECONDS


def test_the_daemon_has_the_time_to_drain() -> None:
    worst = load_settings().shutdown.grace_seconds + SLACK_SECONDS
    assert PODS["driver"]["terminationGracePeriodSeconds"] > worst + RAY_STOP_SECONDS


def test_all_pods_have_the_image_of_this_release() -> None:
    assert {each["image"] for _, each in containers()} == {f"spark-actors:{version()}"}


def test_no_service_link_is_taken_for_a_setting() -> None:
    assert [pod for pod, spec in PODS.items() if spec["enableServiceLinks"] is not False] == []
