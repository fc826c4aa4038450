"""Where everything of a running daemon is: what the composition root needs besides the settings. Plain data."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from config.node import node_folder
from config.settings import Settings, settings_of
from spark_actors.actors import names
from spark_actors.application import Application, load_application
from spark_actors.embedded.data_dir import DataDir, write_private_file
from spark_actors.identity.signing_keys import SigningKey, TokenKeysError, new_key, parse_keys
from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.identity import Role
from spark_actors.persistence.ownership import deployment_id
from spark_actors.version import version

if TYPE_CHECKING:
    from spark_actors.identity.tokens import Realm, TokenIssuer, TokenVerifier


class DeploymentUnknownError(SparkError):
    """A node was given an actor of a deployment that it knows nothing of."""

    def __init__(self, namespace: str, reason: str) -> None:
        super().__init__(namespace, reason)
        self.namespace, self.reason = namespace, reason

    def __str__(self) -> str:
        return f"this node does not know the deployment of {self.namespace}: {self.reason}"


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
    """Of one tree of actors alone (see `names.namespace`)."""
    python: str = ""
    """The interpreter that runs the actors, if it is another than that of their nodes."""
    keys: tuple[SigningKey, ...] = field(default=(), repr=False)
    """Of tokens, the one that signs first. Without any, nobody is known."""

    @property
    def application(self) -> Application:
        """What the deployment runs."""
        return load_application(self.settings.application)

    @property
    def fingerprint(self) -> str:
        """Tells two deployments apart that act differently; the same on every node of one that has the same settings.

        Where the services are, and what belongs to one machine, does not count: nodes may reach the same by other ways.
        """
        told = (self.settings.common, [key.line for key in self.keys])
        return sha256(repr(told).encode()).hexdigest()[:12]

    @property
    def origin(self) -> Origin:
        """What its actors are told of it."""
        return Origin(self.ray_namespace, self.settings.data_dir, self.python)

    def keep(self, folder: Path) -> None:
        """Write it where the actors of a node find it: they are made by somebody who must not tell them secrets."""
        plain = {
            "settings": self.settings.plain,
            "dsn": dict(self.dsn),
            "listen_dsn": dict(self.listen_dsn),
            "nats_url": self.nats_url,
            "nats_token": self.nats_token,
            "log_file": str(self.log_file),
            "keys": [key.line for key in self.keys],
        }
        write_private_file(folder / _file_of(self.ray_namespace), pickle.dumps((version(), pickle.dumps(self), plain)))


def dsn_by_schema(settings: Settings) -> dict[str, str]:
    """Where the settings say that the tables are; what they leave to the built-in Postgres is empty."""
    return {schema: settings.dsn_of(schema) for schema in load_application(settings.application).schemas}


def first_namespace(settings: Settings, dsn: Mapping[str, str]) -> str:
    """Where the actors would be of a deployment that never was there, on these tables."""
    first = dsn[load_application(settings.application).schemas[0]]
    return f"{names.deployment(settings.ray.namespace, deployment_id(first))}/0"


class Origin(NamedTuple):
    """From where an actor learns what it belongs to. Holds no secrets: Ray may write it to disk."""

    namespace: str
    folder: Path
    """Where to look on a node that has no folder of its own: the driver's, which others may not have."""
    python: str = ""
    """The interpreter that runs the actors, if it is another than that of their nodes."""


@cache
def deployment_of(origin: Origin) -> Deployment:
    """As this node has it. Raises DeploymentUnknownError."""
    file = (node_folder() or origin.folder) / _file_of(origin.namespace)
    try:
        release, kept, plain = pickle.loads(file.read_bytes())
    except OSError as error:
        reason = f"{file}: {error.strerror}; `spark-actors prepare-node` writes it"
        raise DeploymentUnknownError(origin.namespace, reason) from None
    if release != version():  # its classes may be others
        return _of_another_release(plain, origin)
    ours: Deployment = pickle.loads(kept)
    return replace(ours, ray_namespace=origin.namespace, python=origin.python)


def _of_another_release(plain: Mapping[str, Any], origin: Origin) -> Deployment:
    """Raises SettingsError for what this release does not know any more."""
    return Deployment(
        settings=settings_of(plain["settings"]),
        dsn=plain["dsn"],
        listen_dsn=plain["listen_dsn"],
        nats_url=plain["nats_url"],
        nats_token=plain["nats_token"],
        log_file=Path(plain["log_file"]),
        ray_namespace=origin.namespace,
        python=origin.python,
        keys=parse_keys(plain["keys"], "the keys of the deployment"),
    )


def _file_of(namespace: str) -> str:
    return f"{names.deployment_of(namespace).replace('/', '-')}.deployment"


def token_issuer(settings: Settings, keys: tuple[SigningKey, ...]) -> TokenIssuer:
    """Makes tokens that a daemon with these settings and keys believes."""
    from spark_actors.identity.tokens import TokenIssuer

    return TokenIssuer(keys, _realm(settings), lambda: datetime.now(UTC))


def token_verifier(deployment: Deployment) -> TokenVerifier:
    """Tells who sent something to this deployment."""
    from spark_actors.identity.tokens import TokenVerifier

    settings = deployment.settings
    return TokenVerifier(
        deployment.keys,
        _realm(settings),
        settings.identity.leeway_seconds,
        roles=(*Role, *deployment.application.roles),
    )


def _realm(settings: Settings) -> Realm:
    from spark_actors.identity.tokens import Realm

    return Realm(settings.identity.issuer, settings.identity.audience)


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


def modules_of_actors(settings: Settings) -> tuple[str, ...]:
    """What the processes of actors import: imported once on each node, for all of them."""
    kinds = ("aggregate", "context", "ingress", "root", "supervisor")
    return (*(f"spark_actors.bootstrap.{kind}" for kind in kinds), settings.application.partition(":")[0])
