"""What is offered on the command line is what can be run, and nothing is measured that was not asked for."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from tests.lab.bench.benchmark import NAMES, peer_sizes
from tests.lab.bench.command import Workload
from tests.lab.bench.commands import Commands
from tests.lab.bench.daemon import settings_text
from tests.lab.bench.machine import kind_of
from tests.lab.bench.sizes import Sizes


def test_every_workload_can_be_asked_for_by_name() -> None:
    assert sorted(Workload) == sorted(NAMES)


def test_scaling_leaves_at_least_one_of_everything() -> None:
    tiny = Sizes().scaled(0.000_001)
    assert min(vars(tiny).values()) == 1


def test_scaling_by_one_changes_nothing() -> None:
    assert Sizes().scaled(1.0) == Sizes()


def test_peers_get_the_same_sizes() -> None:
    sizes = Sizes(commands=7, donations=3)
    given = peer_sizes(sizes)
    assert (given.uniform_commands, given.hot_commands, given.donations, given.donors) == (7, 7, 3, sizes.donors)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["/x/pginstall18/bin/postgres", "-D", "/data"], "Postgres"),
        (["postgres: spark spark [local] idle"], "Postgres"),
        (["postgres: checkpointer "], "Postgres"),
        (["/x/bin/nats-server", "-c", "nats.conf"], "NATS"),
        (["ray::AggregateActor.take_turn"], "AggregateActor"),
        (["ray::RootSupervisor"], "Supervisor"),
        (["ray::ContextActor.take_events"], "ContextActor"),
        (["ray::Ingress"], "Ingress"),
        (["ray::IDLE"], "Ray"),
        (["/x/ray/core/src/ray/raylet/raylet", "--x"], "Ray"),
        (["/x/python", "-u", "/x/ray/dashboard/agent.py"], "Ray"),
        (["/x/python", "-m", "spark_actors.cli", "run"], "other"),
        ([], "other"),
    ],
)
def test_a_process_is_known_by_its_command_line(command: list[str], kind: str) -> None:
    assert kind_of(command) == kind


def test_the_daemon_gets_free_ports_and_the_wanted_placement() -> None:
    text = settings_text({"aggregate_actors": 4})
    assert msgspec.toml.decode(text) == {
        "nats": {"port": 0},
        "http": {"port": 0},
        "placement": {"aggregate_actors": 4},
    }


def test_the_ids_of_commands_never_repeat() -> None:
    commands = Commands(seed=Random(1).getrandbits(32))
    bodies = [msgspec.json.decode(body) for _, body in commands.deposits_over("a", 10, 500)]
    ids = [body["id"] for body in bodies] + [body["data"]["deposit_id"] for body in bodies]
    assert len(set(ids)) == len(ids)


def test_no_donor_gives_to_a_campaign_of_its_own() -> None:
    opened = [msgspec.json.decode(body)["data"] for _, body in Commands(seed=1).opening(9, 4)]
    owners = {data["account_id"] for data in opened if "campaign_id" in data}
    assert owners.isdisjoint({f"donor-{number}" for number in range(9)})
