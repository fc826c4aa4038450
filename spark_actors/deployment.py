"""Where everything of a running daemon is: what the composition root needs besides the settings. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings
from spark_actors.application import Application, load_application
from spark_actors.embedded.data_dir import DataDir, write_private_file
from spark_actors.identity.signing_keys import SigningKey, TokenKeysError, new_key, parse_keys

if TYPE_CHECKING:
    from spark_actors.identity.tokens import TokenIssuer


@dataclass(frozen=True)
class Deployment:
    """The settings with the addresses that were only known at start filled in. Picklable; it holds secrets."""

    settings: Settings
    dsn: Mapping[str, str]
    """By context, `ingress` among them."""
    listen_dsn: Mapping[str, str]
    """By context: where LISTEN works."""
    nats_url: str
    nats_token: str
    log_file: Path
    ray_namespace: str
    """Of this daemon's actors alone (see `names.namespace`)."""
    keys: tuple[SigningKey, ...] = field(default=(), repr=False)
    """Of tokens, the one that signs first. Without any, nobody is known."""

    @property
    def application(self) -> Application:
        """What the deployment runs."""
        return load_application(self.settings.application)


def token_issuer(settings: Settings, keys: tuple[SigningKey, ...]) -> TokenIssuer:
    """Makes tokens that a daemon with these settings and keys believes."""
    from spark_actors.identity.tokens import Realm, TokenIssuer

    realm = Realm(settings.identity.issuer, settings.identity.audience)
    return TokenIssuer(keys, realm, lambda: datetime.now(UTC))


def signing_keys(settings: Settings, data_dir: DataDir, *, make: bool) -> tuple[SigningKey, ...]:
    """The keys of tokens, from settings or from the data dir, where *make* makes the first one.

    Raises TokenKeysError if they cannot be read or used.
    """
    if settings.identity.keys:
        return parse_keys((key.get_secret_value() for key in settings.identity.keys), "identity.keys")
    own = data_dir.secret_path("token-keys")
    file = Path(settings.identity.keys_file).expanduser() if settings.identity.keys_file else own
    if make and file == own and not own.exists():
        write_private_file(own, f"{new_key('local-1').line}\n")
    try:
        return parse_keys(file.read_text("utf-8").splitlines(), str(file))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise TokenKeysError(f"the keys of tokens in {file} cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise TokenKeysError(f"the keys of tokens in {file} cannot be read: it is no text") from None
