"""Who a command acts as: who has logged in never turns into the operator unnoticed."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from spark_actors.cli.errors import ExitCode
from spark_actors.messaging.identity import Role
from tests.fixtures.identity import a_token
from tests.unit.cli.conftest import Cli, error_of
from tests.unit.cli.fakes import FakeClient

OPERATOR = "an operator's token"
VIEW = ("view", "dashboard.campaigns")
SEND = ("send", "accounting.open-account", "account_id=ann-1")


@pytest.fixture
def here(data_dir: Path) -> tuple[str, str]:
    return "--data-dir", str(data_dir)


@pytest.fixture
def logged_in(cli: Cli, client: FakeClient, here: tuple[str, str]) -> FakeClient:
    """Ann has logged in."""
    client.views = {"dashboard.campaigns": {"campaigns": []}}
    result = cli("login", "ann", *here, stdin="correct horse\n")
    assert result.exit_code == ExitCode.DONE, result.stderr
    return client


@pytest.mark.parametrize("words", [VIEW, SEND], ids=lambda words: words[0])
def test_commands_act_as_who_has_logged_in_and_say_so(
    cli: Cli, logged_in: FakeClient, here: tuple[str, str], words: tuple[str, ...]
) -> None:
    result = cli(*words, *here)
    assert (result.exit_code, logged_in.identity) == (ExitCode.DONE, logged_in.user_token)
    assert "as ann-1" in result.stdout


def test_whoever_logs_out_is_the_operator_again(cli: Cli, logged_in: FakeClient, here: tuple[str, str]) -> None:
    assert cli("logout", *here).stdout == "ann-1 is logged out\n"
    assert cli("logout", *here).stdout == "nobody was logged in\n"
    result = cli(*SEND, *here)
    assert (logged_in.identity, " as " in result.stdout) == (OPERATOR, False)


def test_a_login_that_has_ended_does_not_turn_into_an_operator(
    cli: Cli, client: FakeClient, here: tuple[str, str]
) -> None:
    client.good_for = timedelta(0)
    cli("login", "ann", *here, stdin="correct horse\n")
    result = cli(*SEND, *here)
    assert (result.exit_code, client.sent) == (ExitCode.REFUSED, [])
    assert "the login as ann-1 has ended" in result.stderr
    cli("logout", *here)
    assert cli(*SEND, *here).exit_code == ExitCode.DONE


def test_the_login_is_in_a_file_that_nobody_else_can_read(
    cli: Cli, logged_in: FakeClient, here: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "config of mine" / "spark-actors" / "logins.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert logged_in.user_token in file.read_text()


def test_a_login_is_good_for_its_own_daemon_alone(
    cli: Cli, logged_in: FakeClient, here: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_NATS__URL", "nats://elsewhere:4222")
    assert cli(*SEND, "--data-dir", str(tmp_path)).exit_code == ExitCode.DONE
    assert logged_in.identity == ""


def test_a_file_goes_over_the_variable_over_the_login_over_the_operator(
    cli: Cli, logged_in: FakeClient, here: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acts(*words: str) -> tuple[str, str]:
        assert cli(*SEND, *words, *here).exit_code == ExitCode.DONE
        return logged_in.identity, json.loads(cli("whoami", *words, "--json", *here).stdout)["as"]

    assert acts() == (logged_in.user_token, "ann-1")
    monkeypatch.setenv("SPARK_TOKEN", bob := a_token("bob", Role.USER))
    assert acts() == (bob, "bob")
    (tmp_path / "cid").write_text(f"{(cid := a_token('cid', Role.USER))}\n")
    assert acts("--as", str(tmp_path / "cid")) == (cid, "cid")
    monkeypatch.delenv("SPARK_TOKEN")
    cli("logout", *here)
    assert acts() == (OPERATOR, "operator")


def test_whoami_says_by_what_and_until_when(cli: Cli, logged_in: FakeClient, here: tuple[str, str]) -> None:
    told = json.loads(cli("whoami", "--json", *here).stdout)
    assert (told["as"], told["roles"], told["source"]) == ("ann-1", ["user"], "login")
    assert told["expires_at"]
    assert cli("whoami", *here).stdout.startswith("ann-1, by login, until 2")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_file_without_a_token_is_told_in_words(
    cli: Cli, client: FakeClient, here: tuple[str, str], tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "no.token"
    if content is not None:
        file.write_bytes(content)
    result = cli(*SEND, "--as", str(file), *here)
    assert (result.exit_code, client.sent) == (ExitCode.USAGE, [])
    assert (str(file) in result.stderr, "Errno" in result.stderr, result.stderr.count("\n")) == (True, False, 1)


def test_the_word_why_goes_with_the_command_and_is_asked_for_where_it_is_needed(
    cli: Cli, client: FakeClient, here: tuple[str, str]
) -> None:
    from spark_actors.ingress.client import Answer
    from spark_actors.kernel.decisions import Verdict

    assert cli(*SEND, "--why", " she phoned ", *here).exit_code == ExitCode.DONE
    assert client.reasons == ["she phoned"]
    client.answer = Answer("m1", Verdict.FAILED, "why_required")
    result = cli(*SEND, "--id", "m1", *here)
    assert (result.exit_code, "--why TEXT" in result.stdout, "--id m1" in result.stdout) == (1, True, True)


def test_a_login_that_is_kept_in_a_file_or_printed_is_not_remembered(
    cli: Cli, client: FakeClient, here: tuple[str, str], tmp_path: Path
) -> None:
    for words in (("--print",), ("--save", str(tmp_path / "ann.token"))):
        assert cli("login", "ann", *words, *here, stdin="correct horse\n").exit_code == ExitCode.DONE
    assert json.loads(cli("whoami", "--json", *here).stdout)["as"] == "operator"
    told = error_of(cli("login", "ann", "--print", "--save", "x", "--json", *here, stdin="correct horse\n"))
    assert told["code"] == "usage"
