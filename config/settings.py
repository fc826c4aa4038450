"""All settings of the daemon, and how they are loaded: flags over environment over file over `default.toml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from config.errors import SettingsError
from config.groups import (
    INSIDE,
    SCHEMAS,
    WRITING,
    ClusterSettings,
    Group,
    HttpSettings,
    IdentitySettings,
    IngressSettings,
    LogSettings,
    NatsSettings,
    PlacementSettings,
    PostgresSettings,
    RaySettings,
    RelaySettings,
    RetentionSettings,
    ShutdownSettings,
    SupervisionSettings,
    Text,
    TurnsSettings,
    WebSettings,
)
from spark_actors.application import Application, ApplicationError, load_application

if TYPE_CHECKING:
    from config.sources import Layer

DAY_SECONDS = 86_400
OF_ONE_MACHINE = frozenset({"application", "cluster", "data_dir", "http", "log", "nats", "postgres", "ray", "web"})
"""Groups that may differ: by them machines find the same services, each in its own way."""
LOOPBACK = "127.0.0.1"


def _named(path: Any) -> Any:
    """An empty variable must not turn the working directory into the data dir."""
    if path == "":
        raise ValueError("the name of a folder")
    return path


def _absolute(path: Path) -> Path:
    """Actors run in other working directories."""
    return path.expanduser().absolute()


class Settings(Group):
    """Everything that can be set. Picklable, so that it can be handed to actors; its text form shows no secret."""

    application: Text = "domain.application:APPLICATION"
    data_dir: Annotated[Path, BeforeValidator(_named), AfterValidator(_absolute)] = Path(".spark")
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    nats: NatsSettings = Field(default_factory=NatsSettings)
    ray: RaySettings = Field(default_factory=RaySettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    placement: PlacementSettings = Field(default_factory=PlacementSettings)
    ingress: IngressSettings = Field(default_factory=IngressSettings)
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    turns: TurnsSettings = Field(default_factory=TurnsSettings)
    relay: RelaySettings = Field(default_factory=RelaySettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    supervision: SupervisionSettings = Field(default_factory=SupervisionSettings)
    shutdown: ShutdownSettings = Field(default_factory=ShutdownSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @field_validator("ray")
    @classmethod
    def _reaches_what_it_stands_on(cls, ray: RaySettings, info: ValidationInfo) -> RaySettings:
        """Actors may live on any machine of a cluster, and what is built in listens on this one alone."""
        postgres, nats = info.data.get("postgres"), info.data.get("nats")
        schemas = (info.context or {}).get(SCHEMAS, ())
        missing = [
            *(
                ["postgres.dsn"]
                if isinstance(postgres, PostgresSettings) and not all(map(postgres.dsn_of, schemas))
                else []
            ),
            *(["nats.url"] if isinstance(nats, NatsSettings) and not nats.url else []),
        ]
        if ray.address and missing:
            wanted = (
                f"nothing, as long as {' and '.join(missing)} is not set: what is built in serves this machine alone"
            )
            raise PydanticCustomError("elsewhere", "{wanted}", {"wanted": wanted, INSIDE: "address"})
        return ray

    @field_validator("cluster")
    @classmethod
    def _one_part(cls, cluster: ClusterSettings, info: ValidationInfo) -> ClusterSettings:
        ray = info.data.get("ray")
        if cluster.listen and isinstance(ray, RaySettings) and ray.address:
            wanted = "nothing, when ray.address is set: nodes join that cluster"
            raise PydanticCustomError("elsewhere", "{wanted}", {"wanted": wanted, INSIDE: "listen"})
        nats = info.data.get("nats")
        if cluster.listen and isinstance(nats, NatsSettings) and not (nats.url or nats.port):
            wanted = "nothing, as long as nats.port is 0: nodes must find the broker again where it was"
            raise PydanticCustomError("elsewhere", "{wanted}", {"wanted": wanted, INSIDE: "listen"})
        return cluster

    @field_validator("retention")
    @classmethod
    def _outlasts_what_comes_again(cls, retention: RetentionSettings, info: ValidationInfo) -> RetentionSettings:
        """What the daemon itself hands over again must find the inbox remembering it."""
        nats, relay = info.data.get("nats"), info.data.get("relay")
        waits = {
            "nats.ack_wait_seconds": nats.ack_wait_seconds if isinstance(nats, NatsSettings) else 0,
            "relay.retry_ceiling_seconds": relay.retry_ceiling_seconds if isinstance(relay, RelaySettings) else 0,
        }
        name, longest = max(waits.items(), key=lambda wait: wait[1])
        if longest >= retention.inbox_days * DAY_SECONDS:
            wanted = f"longer than {name}, which is {longest:g} s: what comes again after that must still be known"
            raise PydanticCustomError("forgets", "{wanted}", {"wanted": wanted, INSIDE: "inbox_days"})
        return retention

    def dsn_of(self, context: str) -> str:
        """Where *context* keeps its tables; empty: in the embedded Postgres."""
        return self.postgres.dsn_of(context)

    def listen_dsn_of(self, context: str) -> str:
        """Where to LISTEN for wake-ups of *context*; empty: in the embedded Postgres.

        The first that is set of: the context's own `context_listen_dsn`, its own `context_dsn`, `listen_dsn`, `dsn`.
        """
        postgres = self.postgres
        places = (
            postgres.context_listen_dsn.get(context),
            postgres.context_dsn.get(context),
            postgres.listen_dsn,
            postgres.dsn,
        )
        return next((dsn for place in places if place and (dsn := place.get_secret_value())), "")

    @property
    def http_host(self) -> str:
        """Where the HTTP endpoint listens, unless a node goes by an address that it only knows when it has joined."""
        return self.http.host or self.cluster.listen or LOOPBACK

    @property
    def needs_embedded_postgres(self) -> bool:
        return not all(map(self.dsn_of, load_application(self.application).schemas))

    @property
    def needs_embedded_nats(self) -> bool:
        return not self.nats.url

    @property
    def needs_embedded_ray(self) -> bool:
        return not self.ray.address

    @property
    def plain(self) -> dict[str, Any]:
        """All values, with no class of ours in them and secrets in the open: for another release to read."""
        return dict(in_the_open(self.model_dump()))

    @property
    def common(self) -> dict[str, Any]:
        """What must be the same on all machines of a deployment, without secrets, as files have it."""
        told = _without_secrets(self.model_dump(exclude=set(OF_ONE_MACHINE)))
        for name in ("keys", "keys_file"):  # also where there are none: each machine has them from its own file
            told["identity"].pop(name, None)
        told["retention"].pop("inbox_days")  # raised while older commands wait
        return dict(in_the_open(told))

    def changed(self, **overrides: Any) -> Settings:
        """A copy with some settings replaced, named as in `load_settings`. Raises SettingsError."""
        from config.sources import Layer, option_layer, validated

        layers = [Layer("", self.model_dump()), option_layer(overrides)]
        return validated(type(self), layers, known_names(load_application(self.application)))


def settings_of(plain: Mapping[str, Any]) -> Settings:
    """What another release, or process, gave as `plain`. Raises SettingsError for what this one does not know."""
    from config.sources import Layer, validated

    application = _application([Layer("another release", dict(plain))])
    form: type[Settings] = application.settings() if application.settings else Settings
    return validated(form, [Layer("another release", dict(plain))], known_names(application))


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """The settings by priority: *overrides*, environment (`SPARK_*`), *file* (TOML), `default.toml`.

    An override is named like its variable, in lower case and without the prefix (`nats__port=0`), or nested
    (`nats={"port": 0}`); one that is None does not count. Tables merge, lists replace each other.
    Raises SettingsError for a setting that is wrong or unknown, wherever it comes from.
    """
    # Imported here: actors get settings that are loaded already, and save the memory of what reads them.
    from config.sources import default_layer, environment_layers, file_layer, option_layer, validated

    default, own, options = default_layer(), [file_layer(file)] if file else [], option_layer(overrides)
    application = application_of(file, **overrides)
    form: type[Settings] = application.settings() if application.settings else Settings
    documented = [default, *([file_layer(application.defaults)] if application.defaults else [])]
    layers = [*documented, *own, *environment_layers(form), options]
    return validated(form, layers, known_names(application))


def application_of(file: Path | None = None, **overrides: Any) -> Application:
    """What the same sources say is to be run; it decides which other settings there are. Raises SettingsError."""
    from config.sources import application_layer, default_layer, file_layer, option_layer

    own = [file_layer(file)] if file else []
    return _application([default_layer(), *own, *application_layer(), option_layer(overrides)])


def known_names(application: Application) -> dict[str, tuple[str, ...]]:
    """The names of an application that settings may use, as the context of a validation."""
    return {WRITING: tuple(each.name for each in application.writing), SCHEMAS: application.schemas}


def in_the_open(value: Any) -> Any:
    """As files have it: no class of ours, and no secret hidden."""
    if isinstance(value, Mapping):
        return {str(name): in_the_open(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [in_the_open(each) for each in value]
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


def _without_secrets(value: Mapping[str, Any]) -> dict[str, Any]:
    """Each machine has secrets from files of its own."""
    return {
        name: _without_secrets(each) if isinstance(each, Mapping) else each
        for name, each in value.items()
        if not isinstance(each, SecretStr)
    }


def _application(layers: Sequence[Layer]) -> Application:
    """That which the last layer that names one names."""
    name, source = next(
        (layer.values["application"], layer.source) for layer in reversed(layers) if "application" in layer.values
    )
    try:
        return load_application(str(name))
    except ApplicationError as error:
        expected = f"package.module:NAME of an application ({error.reason})"
        raise SettingsError("application", repr(name), expected, source) from error
