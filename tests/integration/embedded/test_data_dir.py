"""The data folder: private, locked by one daemon, with secrets that stay the same."""

import os
import stat
from pathlib import Path

import pytest

from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.embedded.errors import DataDirLockedError, DataDirUnusableError, EmbeddedServiceError
from tests.integration.embedded.conftest import as_user

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
    for folder in (data_dir.path, data_dir.secrets, data_dir.logs, data_dir.nats, data_dir.ray):
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


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (b"a\nb", r"'\\n' in its path is a control character"),
        (b"a\x07b", r"'\\x07' in its path is a control character"),
        (b"a\xffb", r"'\\udcff' in its path is a byte that is no text here"),
    ],
)
def test_a_path_that_cannot_work_is_refused_in_a_line_that_names_the_character(
    tmp_path: Path, path: bytes, named: str
) -> None:
    wanted = DataDir(tmp_path / os.fsdecode(path))
    with pytest.raises(DataDirUnusableError, match=named) as refused:
        wanted.create()
    assert str(refused.value).isprintable()
    assert not wanted.path.exists()


def test_the_rights_of_a_folder_that_somebody_else_owns_stay_and_it_can_be_used(tmp_path: Path) -> None:
    """A volume that belongs to another user, with a group that we are in (Kubernetes' fsGroup)."""
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 4_000, 54_321)
    volume.chmod(0o2775)
    for above in (tmp_path, *tmp_path.parents[:3]):
        above.chmod(0o755)
    assert as_user(54_321, f"DataDir(Path({str(volume)!r})).create()") == ""
    assert mode_of(volume) == 0o2775
    assert mode_of(volume / "secrets") & 0o777 == 0o700


def test_a_folder_that_may_not_be_written_to_is_refused_in_a_line_with_the_remedy(tmp_path: Path) -> None:
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    told = as_user(54_321, f"DataDir(Path({str(tmp_path / 'data')!r})).create()")
    assert "Permission denied" in told
    assert "let user 54321 own it, or choose another --data-dir" in told
    assert len(told.splitlines()) == 1


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
