"""What each command prints, and the exit code that a script goes by."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from domain.crowdfunding.messages import DonateToCampaign
from domain.dashboard.views import ViewCampaigns
from spark_actors.cli.app import whole_app
from spark_actors.cli.errors import EXIT_CODES, ExitCode
from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.identity.signing_keys import parse_keys
from spark_actors.identity.tokens import TokenVerifier
from spark_actors.ingress.client import (
    Answer,
    NotAcceptedError,
    OutcomeUnknownError,
    SparkClient,
    UnreachableError,
    ViewTimeoutError,
)
from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.identity import Principal
from tests.fixtures.identity import LEEWAY_SECONDS, REALM
from tests.unit.cli.conftest import Cli, built, error_of
from tests.unit.cli.fakes import FakeClient

DONATE = (
    "send", "crowdfunding.donate-to-campaign", "campaign_id=c1", "donation_id=d1", "account_id=a1", "amount_sat=500",
)  # fmt: skip


def every_command() -> list[tuple[str, ...]]:
    """The words of every command and group that there is, those of the program itself being none."""

    def below(group: Any, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(group, "commands", {})
        return [words, *(found for name, one in inner.items() for found in below(one, (*words, name)))]

    return below(built(whole_app()), ())


def is_group(words: tuple[str, ...]) -> bool:
    return any(other[: len(words)] == words and other != words for other in every_command())


def test_a_command_that_is_done_exits_with_0(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    result = cli(*DONATE, "--id", "m7", "--data-dir", str(data_dir))
    assert result.exit_code == ExitCode.DONE
    assert result.stdout.startswith("done")
    command = DonateToCampaign(campaign_id="c1", donation_id="d1", account_id="a1", amount_sat=500)
    assert client.sent == [(command, "m7", None)]


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.REJECTED, ExitCode.REJECTED),
        (Verdict.FAILED, ExitCode.REFUSED),
        (Verdict.PARKED, ExitCode.PARKED),
    ],
)
def test_a_command_that_is_not_done_says_how_it_ended_by_an_exit_code_of_its_own_and_why(
    cli: Cli, client: FakeClient, data_dir: Path, verdict: Verdict, code: ExitCode
) -> None:
    client.answer = Answer("m1", verdict, "own_campaign")
    result = cli(*DONATE, "--data-dir", str(data_dir))
    assert result.exit_code == code
    assert f"{verdict}: own_campaign" in result.stdout


def test_the_outcome_as_json_has_the_form_of_the_wire(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    client.answer = Answer("m1", Verdict.REJECTED, "own_campaign", {"limit": 3})
    result = cli(*DONATE, "--json", "--data-dir", str(data_dir))
    expected = {"id": "m1", "outcome": "rejected", "reason": "own_campaign", "data": {"limit": 3}}
    assert json.loads(result.stdout) == {**expected, "as": "operator"}
    assert result.exit_code == ExitCode.REJECTED


def test_without_waiting_the_message_id_is_all_there_is_to_say(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    client.answer = Answer("m1", Verdict.REJECTED)
    result = cli(*DONATE, "--no-wait", "--id", "m8", "--json", "--data-dir", str(data_dir))
    assert (result.exit_code, json.loads(result.stdout)) == (
        ExitCode.DONE,
        {"id": "m8", "outcome": "sent", "as": "operator"},
    )


def test_a_mistake_in_the_words_exits_with_2_and_sends_nothing(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    result = cli("send", "crowdfunding.donate-to-campaign", "amount_sat=x", "--data-dir", str(data_dir))
    assert (result.exit_code, client.sent) == (ExitCode.USAGE, [])
    assert result.stderr.startswith("error: crowdfunding.donate-to-campaign: ")


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("send",),
        ("view", "x.y", "--timeout", "soon"),
        ("run", "--bogus"),
        ("sagas", "list", "--state", "x"),
    ],
)
def test_words_that_are_not_understood_exit_with_2_in_one_line(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error", [UnreachableError("it broke"), NotAcceptedError("no word"), OutcomeUnknownError("no outcome")]
)
@pytest.mark.parametrize("words", [(), ("--no-wait",)])
def test_what_may_have_been_sent_names_the_id_under_which_it_is_safe_to_send_it_again(
    cli: Cli, client: FakeClient, data_dir: Path, error: Exception, words: tuple[str, ...]
) -> None:
    client.error = error
    result = cli(*DONATE, *words, "--data-dir", str(data_dir))
    assert result.exit_code == ExitCode.UNKNOWN_OUTCOME
    [message_id] = client.tried
    assert (str(error) in result.stderr, f"--id {message_id}" in result.stderr) == (True, True)
    told = error_of(cli(*DONATE, *words, "--id", "m9", "--json", "--data-dir", str(data_dir)))
    assert (told["code"], told["exit_code"], told["id"]) == ("unknown_outcome", 6, "m9")


def test_who_stops_waiting_is_told_the_id_too(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    client.error = KeyboardInterrupt()
    result = cli(*DONATE, "--id", "m9", "--data-dir", str(data_dir))
    assert (result.exit_code, "--id m9" in result.stderr) == (ExitCode.STOPPED, True)


@pytest.mark.parametrize("name", ["view", "send"])
def test_a_daemon_that_cannot_be_reached_exits_with_3(
    cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def connect(url: str, token: str = "", *, identity: str = "") -> FakeClient:
        raise UnreachableError("no broker answers")

    monkeypatch.setattr(SparkClient, "connect", connect)
    words = DONATE if name == "send" else ("view", "dashboard.campaigns")
    result = cli(*words, "--data-dir", str(data_dir))
    assert (result.exit_code, result.stderr) == (ExitCode.NO_DAEMON, "error: no broker answers\n")


def test_a_view_that_nobody_answers_exits_with_3(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    client.error = ViewTimeoutError("no answer")
    result = cli("view", "dashboard.campaigns", "--data-dir", str(data_dir))
    assert (result.exit_code, result.stderr) == (ExitCode.NO_DAEMON, "error: no answer\n")


def test_a_folder_without_a_daemon_exits_with_3(cli: Cli, tmp_path: Path) -> None:
    result = cli(*DONATE, "--data-dir", str(tmp_path))
    assert result.exit_code == ExitCode.NO_DAEMON
    assert f"no daemon runs on {tmp_path}" in result.stderr


def test_the_card_of_a_daemon_that_died_exits_with_3(cli: Cli, tmp_path: Path) -> None:
    DataDir(tmp_path).write_daemon_card(
        DaemonCard(2**22 + 1, "nats://127.0.0.1:1", "t", "http://127.0.0.1:1", "2026-01-01T00:00:00+00:00", "1")
    )
    result = cli(*DONATE, "--data-dir", str(tmp_path))
    assert result.exit_code == ExitCode.NO_DAEMON
    assert "is gone" in result.stderr


def test_a_broker_in_the_settings_is_enough(
    cli: Cli, client: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_NATS__URL", "nats://broker:4222")
    assert cli(*DONATE, "--data-dir", str(tmp_path)).exit_code == ExitCode.DONE
    assert len(client.sent) == 1


def test_a_wrong_setting_exits_with_2_and_names_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_NATS__PORT", "many")
    result = cli("run")
    assert result.exit_code == ExitCode.USAGE
    assert "nats.port" in result.stderr


def test_an_unexpected_error_is_one_line_and_no_traceback(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    client.error = ZeroDivisionError("by zero")
    result = cli(*DONATE, "--data-dir", str(data_dir))
    assert result.exit_code == ExitCode.BUG
    assert result.stderr == "error: this should not happen (ZeroDivisionError: by zero)\n"


def test_a_view_is_shown_for_people_and_for_scripts(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    campaign = {"campaign_id": "c1", "title": "A roof", "raised_sat": 12_345, "goal_reached": False}
    client.views = {"dashboard.campaigns": {"campaigns": [campaign]}}
    shown = cli("view", "dashboard.campaigns", "limit=5", "--data-dir", str(data_dir))
    assert "A roof" in shown.stdout
    assert "12,345 sat" in shown.stdout
    assert client.asked == [ViewCampaigns(limit=5)]
    printed = cli("view", "dashboard.campaigns", "--json", "--data-dir", str(data_dir))
    assert json.loads(printed.stdout) == {"campaigns": [campaign]}


def test_a_view_of_nothing_exits_with_1(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    result = cli("view", "dashboard.invoice", "invoice_id=i1", "--data-dir", str(data_dir))
    assert (result.exit_code, result.stderr.count("\n")) == (ExitCode.REFUSED, 1)
    assert "not_found" in result.stderr


def test_status_of_a_daemon_that_does_not_answer_exits_with_3(cli: Cli, data_dir: Path) -> None:
    assert cli("status", "--data-dir", str(data_dir)).exit_code == ExitCode.NO_DAEMON


def test_status_shows_what_is_to_be_seen_to_and_calls_the_daemon_ready_all_the_same(
    cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "http://127.0.0.1:1/readyz": {"ready": True, "parts": {}},
        "http://127.0.0.1:1/status": {"warnings": ["bitcoin: [70] sat are missing"]},
    }
    monkeypatch.setattr("spark_actors.cli.status.get_json", answers.__getitem__)
    shown = cli("status", "--data-dir", str(data_dir))
    assert shown.exit_code == ExitCode.DONE
    assert "warning bitcoin: [70] sat are missing" in shown.stdout


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words, "-h")
    assert result.exit_code == ExitCode.DONE
    assert " ".join(("Usage: spark-actors", *words)) in result.stdout


def test_the_commands_that_have_help_are_all_that_there_are(cli: Cli) -> None:
    assert {("send",), ("dead-letters", "retry"), ("sagas",), ("audit",), ()} < set(every_command())


def test_the_exit_codes_are_distinct_and_in_the_help(cli: Cli) -> None:
    assert set(EXIT_CODES) == set(ExitCode)
    shown = " ".join(cli("-h").stdout.split())
    for code, text in EXIT_CODES.items():
        assert f"{code.value} {text}" in shown


@pytest.mark.parametrize("words", [words for words in every_command() if is_group(words)], ids=" ".join)
def test_a_group_on_its_own_shows_its_help(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert (result.exit_code, result.stderr) == (ExitCode.DONE, "")
    assert "Usage: spark-actors" in result.stdout


def test_the_version_is_printed(cli: Cli) -> None:
    result = cli("--version")
    assert result.exit_code == ExitCode.DONE
    assert result.stdout.startswith("spark-actors ")


def test_all_messages_are_listed_by_kind(cli: Cli) -> None:
    listed = cli("messages").stdout
    for name in ("crowdfunding.donate-to-campaign", "accounting.deposited", "dashboard.timeline"):
        assert name in listed
    kinds = {entry["kind"] for entry in json.loads(cli("messages", "--json").stdout)}
    assert kinds >= {"command", "event", "query"}


def test_one_message_is_shown_with_its_schema_and_how_to_send_it(cli: Cli) -> None:
    shown = cli("messages", "crowdfunding.donate-to-campaign").stdout
    assert "spark-actors send crowdfunding.donate-to-campaign campaign_id=<str>" in shown
    assert "spark.commands.crowdfunding.donate-to-campaign" in shown
    entry = json.loads(cli("messages", "crowdfunding.donate-to-campaign", "--json").stdout)
    assert entry["schema"]["required"] == ["campaign_id", "donation_id", "account_id", "amount_sat"]


def test_the_asyncapi_document_is_json(cli: Cli) -> None:
    document = json.loads(cli("messages", "--asyncapi").stdout)
    assert document["asyncapi"].startswith("3.")


def test_a_password_from_a_pipe_becomes_a_hash_that_fits_it(cli: Cli) -> None:
    from argon2 import PasswordHasher

    result = cli("hash-password", stdin="correct horse\n")
    assert result.exit_code == ExitCode.DONE
    assert PasswordHasher().verify(result.stdout.strip(), "correct horse")
    assert "correct horse" not in result.output


def test_an_empty_password_is_refused(cli: Cli) -> None:
    assert cli("hash-password", stdin="\n").exit_code == ExitCode.USAGE


def test_commands_act_as_an_operator_on_the_daemons_own_machine(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    assert cli(*DONATE, "--data-dir", str(data_dir)).exit_code == ExitCode.DONE
    assert client.identity == "an operator's token"


def test_commands_act_as_the_bearer_of_a_token_that_is_kept(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    kept = data_dir / "ann.token"
    assert cli("login", "ann", "--save", str(kept), "--data-dir", str(data_dir), stdin="correct horse\n").exit_code == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert cli(*DONATE, "--as", str(kept), "--data-dir", str(data_dir)).exit_code == ExitCode.DONE
    assert client.identity == client.user_token


def test_a_login_asks_as_nobody_and_prints_the_token(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    words = ("login", "ann", "--print", "--data-dir", str(data_dir))
    result = cli(*words, stdin="correct horse\n")
    assert (result.exit_code, result.stdout, client.identity) == (ExitCode.DONE, f"{client.user_token}\n", "")
    told = json.loads(cli(*words, "--json", stdin="correct horse\n").stdout)
    assert (told["account_id"], told["token"]) == ("ann-1", client.user_token)
    assert "operator" in cli("whoami", "--data-dir", str(data_dir)).stdout


def test_a_wrong_password_exits_with_1_and_is_not_repeated(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    result = cli("login", "ann", "--data-dir", str(data_dir), stdin="wrong horse\n")
    assert (result.exit_code, "wrong horse" in result.output) == (ExitCode.REFUSED, False)
    assert "wrong_credentials" in result.stderr


def test_a_password_is_no_word_for_the_command_line(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    result = cli("view", "auth.login", "username=ann", "password=correct horse", "--data-dir", str(data_dir))
    assert (result.exit_code, client.asked) == (ExitCode.USAGE, [])
    assert "correct horse" not in result.output


def test_who_holds_the_keys_can_issue_a_token(cli: Cli, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(cli("token", "new-key", "k-1").stdout)
    config = tmp_path / "own.toml"
    config.write_text(f'[identity]\nkeys_file = "{keys}"\n')
    words = ("token", "issue", "--role", "lightning", "--sub", "watcher", "--ttl", "90s", "--config", str(config))
    [key] = parse_keys([keys.read_text()], "keys")
    bearer = TokenVerifier([key], REALM, LEEWAY_SECONDS, roles=["lightning"])(
        f"Bearer {cli(*words).stdout.strip()}", time.time()
    )
    assert bearer == Principal("watcher", frozenset(["lightning"]))
    assert json.loads(cli(*words, "--json").stdout)["sub"] == "watcher"


@pytest.mark.parametrize(
    "words",
    [
        ("--role", "lightning"),
        ("--role", "user", "--sub", "two words"),
        ("--role", "god", "--sub", "x"),
        ("--role", "operator", "--ttl", "soon"),
        ("--role", "operator", "--ttl", "0s"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_issued(cli: Cli, data_dir: Path, words: tuple[str, ...]) -> None:
    (data_dir / "secrets").mkdir()
    (data_dir / "secrets" / "token-keys").write_text(f"k:{'s' * 32}\n")
    assert cli("token", "issue", *words, "--data-dir", str(data_dir)).exit_code == ExitCode.USAGE


def test_without_the_keys_no_token_is_issued(cli: Cli, tmp_path: Path) -> None:
    result = cli("token", "issue", "--role", "operator", "--data-dir", str(tmp_path))
    assert result.exit_code == ExitCode.REFUSED
    assert "token-keys" in result.stderr
