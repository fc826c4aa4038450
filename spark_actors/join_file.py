"""What a node needs to know to join, as a file of settings: where everything is, tokens, keys, what the head chose."""

from __future__ import annotations

import tomli_w

from config.settings import OF_ONE_MACHINE, in_the_open
from spark_actors.deployment import Deployment

JOIN_FILE = "join.toml"
_HEADER = """\
# What a node of this deployment needs to know, written anew at each start of its head. It holds secrets: copy it to the
# node, readable for its daemon alone, and name it there: spark-actors node --config join.toml
"""


def join_file(deployment: Deployment, *, head: str, ray_token: str, postgres_dsn: str) -> str:
    """TOML with every setting that a node must have. *postgres_dsn* is that of the built-in server; empty if none."""
    settings = deployment.settings
    apart = {*OF_ONE_MACHINE, "identity"} - {"application"}
    common = settings.model_dump(exclude=apart, exclude_defaults=True)
    postgres = settings.postgres.model_dump(exclude_defaults=True)
    if postgres_dsn:
        postgres["dsn"] = postgres_dsn
    known = {
        **common,
        "cluster": {"join": head, "token": ray_token},
        "postgres": postgres,
        "nats": {
            **settings.nats.model_dump(exclude_defaults=True),
            "url": deployment.nats_url,
            "token": deployment.nats_token,
        },
        "identity": {
            **settings.identity.model_dump(exclude_defaults=True, exclude={"keys_file"}),
            "keys": [key.line for key in deployment.keys],
        },
        "ray": {"namespace": settings.ray.namespace},
    }
    return f"{_HEADER}\n{tomli_w.dumps(in_the_open(known))}"
