"""Where the keys of tokens come from."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config import SettingsError, load_settings
from spark_actors.deployment import signing_keys
from spark_actors.embedded.data_dir import DataDir
from spark_actors.identity.signing_keys import TokenKeysError

ONE, TWO = (f"k{number}:{str(number) * 32}" for number in (1, 2))


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path / "data")
    made.create()
    return made


def test_one_is_made_in_the_data_dir_once_for_its_owner_alone(data_dir: DataDir) -> None:
    settings = load_settings()
    with pytest.raises(TokenKeysError):
        signing_keys(settings, data_dir, make=False)
    [made] = signing_keys(settings, data_dir, make=True)
    assert (made,) == signing_keys(settings, data_dir, make=True) == signing_keys(settings, data_dir, make=False)
    assert stat.S_IMODE(data_dir.secret_path("token-keys").stat().st_mode) == 0o600


def test_settings_come_first_and_the_first_key_signs(data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_IDENTITY__KEYS", f'["{TWO}", "{ONE}"]')
    keys = signing_keys(load_settings(), data_dir, make=True)
    assert [key.line for key in keys] == [TWO, ONE]
    assert not data_dir.secret_path("token-keys").exists()


def test_a_file_may_hold_them(data_dir: DataDir, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{TWO}\n{ONE}\n")
    settings = load_settings(identity={"keys_file": str(file)})
    assert [key.key_id for key in signing_keys(settings, data_dir, make=True)] == ["k2", "k1"]
    file.unlink()
    with pytest.raises(TokenKeysError, match="keys"):
        signing_keys(settings, data_dir, make=True)


@pytest.mark.parametrize("keys", [["no-colon" + "s" * 40], ["k:too-short"], [f"a b:{'s' * 32}"]])
def test_a_key_in_settings_that_cannot_be_used_is_refused_without_being_shown(keys: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(identity={"keys": keys})
    assert "identity.keys" in str(refused.value)
    assert keys[0] not in str(refused.value)


def test_keys_in_two_places_are_refused() -> None:
    with pytest.raises(SettingsError, match="keys_file"):
        load_settings(identity={"keys": [ONE], "keys_file": "keys"})
