"""A machine that is cut off reaches nobody until it is healed; its folders are its own; nothing is left of any."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.daemon import eventually
from tests.lab.cluster.network import OUTSIDE, Namespaces

pytestmark = pytest.mark.skipif(not Namespaces.can_be_had(), reason="only root may make networks")
MACHINE = 2


@pytest.fixture
def network() -> Iterator[Namespaces]:
    network = Namespaces()
    yield network
    network.close()


def done(network: Namespaces, *command: str, hidden: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """What comes of a command on the machine."""
    return subprocess.run(
        [*network.within(MACHINE, hidden), *command], capture_output=True, text=True, timeout=20, check=False
    )


def test_a_machine_reaches_us_unless_it_is_cut_off(network: Namespaces) -> None:
    with socket.create_server((network.address(OUTSIDE), 0)) as server:
        port = server.getsockname()[1]
        reach = ("timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{network.address(OUTSIDE)}/{port}")
        assert done(network, *reach).returncode == 0
        network.cut(MACHINE)
        assert done(network, *reach).returncode != 0
        network.heal(MACHINE)
        assert eventually(lambda: done(network, *reach).returncode == 0)  # neighbours find each other again by and by


def test_what_is_hidden_from_a_machine_is_empty_there_and_as_it_was_here(network: Namespaces, tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    assert done(network, "ls", str(tmp_path)).stdout == "theirs\n"
    assert done(network, "ls", str(tmp_path), hidden=(tmp_path,)).stdout == ""
    assert (tmp_path / "theirs").exists()


def test_nothing_is_left_of_a_network(network: Namespaces) -> None:
    ours = network.address(OUTSIDE).rpartition(".")[0]
    network.within(MACHINE, ())
    assert ours in links()
    network.close()
    assert ours not in links()
    network.close()


def links() -> str:
    return subprocess.run(["ip", "addr"], capture_output=True, text=True, check=True).stdout
