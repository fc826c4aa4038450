"""What a user might pick instead, measured on the same workloads and the same Postgres: an optional extra.

`available` names the modules whose library is installed (`.venv/bin/pip install -e '.[peers]'`); each of them has
`run(dsn, sizes)`. This package imports none of the libraries.
"""

from importlib.util import find_spec

LIBRARIES = {  # module here -> the library that it needs
    "dbos_transact": "dbos",
    "eventsourcing_app": "eventsourcing",
}


def available() -> list[str]:
    """Return the full names of the modules of this package whose library can be imported here."""
    return [f"{__name__}.{module}" for module, library in LIBRARIES.items() if find_spec(library) is not None]
