"""The data folder: private, locked by one daemon, with secrets that stay the same."""

import os
import stat
from pathlib import Path

import pytest

from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.embedded.errors import DataDirLockedError, EmbeddedServiceError

A_CARD = DaemonCard(
    pid=4711,
    nats_url="nats://127.0.0.1:4222",
    nats_token="a token",
    metrics_url="http://127.0.0.1:9464/metrics",
    started_at="2026-01-02T03:04:05+00:00",
    version="0.1.0",
    dsn={"auth": "postgresql://"},
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_others_can_list_nothing_in_a_data_folder(data_dir: DataDir) -> None:
    assert mode_of(data_dir.path) == (0o711 if os.geteuid() == 0 else 0o700)
    for folder in (data_dir.secrets, data_dir.logs, data_dir.nats, data_dir.ray):
        assert mode_of(folder) == 0o700


def test_an_open_data_folder_is_closed_on_the_next_start(data_dir: DataDir) -> None:
    data_dir.path.chmod(0o777)
    data_dir.secrets.chmod(0o755)
    data_dir.create()
    assert not mode_of(data_dir.path) & 0o066
    assert mode_of(data_dir.secrets) == 0o700


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(data_dir: DataDir) -> None:
    secret = data_dir.secret("nats-token")
    assert len(secret) == 64
    assert DataDir(data_dir.path).secret("nats-token") == secret
    assert data_dir.secret("ray-token") != secret
    assert mode_of(data_dir.secret_path("nats-token")) == 0o600


def test_a_second_daemon_is_refused_and_told_the_first_ones_process(data_dir: DataDir) -> None:
    data_dir.lock()
    with pytest.raises(DataDirLockedError, match=f"in use by process {os.getpid()}"):
        DataDir(data_dir.path).lock()
    data_dir.unlock()


def test_a_data_folder_that_was_let_go_can_be_taken(data_dir: DataDir) -> None:
    data_dir.lock()
    data_dir.lock()
    data_dir.unlock()
    data_dir.unlock()
    other = DataDir(data_dir.path)
    other.lock()
    other.unlock()


def test_a_daemon_is_found_by_its_card_until_the_card_is_removed(data_dir: DataDir) -> None:
    assert data_dir.read_daemon_card() is None
    data_dir.write_daemon_card(A_CARD)
    assert DataDir(data_dir.path).read_daemon_card() == A_CARD
    assert mode_of(data_dir.daemon_card) == 0o600
    data_dir.remove_daemon_card()
    data_dir.remove_daemon_card()
    assert data_dir.read_daemon_card() is None


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 1}', "not json"])
def test_a_damaged_card_is_a_clear_error(data_dir: DataDir, content: str) -> None:
    data_dir.daemon_card.write_text(content)
    with pytest.raises(EmbeddedServiceError, match=r"daemon\.json is not a daemon's card"):
        data_dir.read_daemon_card()


def test_sockets_live_in_the_data_folder_when_its_path_is_short_enough(data_dir: DataDir) -> None:
    folder = data_dir.short_folder(data_dir.ray, longest=1000)
    assert folder == data_dir.ray / "run"
    assert mode_of(folder) == 0o700


def test_sockets_of_a_deep_data_folder_get_a_private_short_folder_that_is_found_again(data_dir: DataDir) -> None:
    folder = data_dir.short_folder(data_dir.ray, longest=30)
    try:
        assert len(str(folder)) <= 30
        assert mode_of(folder) == 0o700
        assert data_dir.short_folder(data_dir.ray, longest=30) == folder
    finally:
        folder.rmdir()


def test_a_short_folder_that_others_may_enter_is_not_used_again(data_dir: DataDir) -> None:
    opened = data_dir.short_folder(data_dir.ray, longest=30)
    opened.chmod(0o777)
    folder = data_dir.short_folder(data_dir.ray, longest=30)
    try:
        assert folder != opened
    finally:
        opened.rmdir()
        folder.rmdir()
