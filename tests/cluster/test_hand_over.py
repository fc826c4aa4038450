"""Other settings, and another release, take over from a daemon that works: no command is refused for it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cluster.test_nodes import load
from tests.fixtures.cluster import Cluster
from tests.fixtures.daemon import environment, eventually

pytestmark = pytest.mark.timeout(400)
RELEASE = "999.0"


@pytest.fixture(scope="module")
def other_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which the same program is installed as another release."""
    folder = tmp_path_factory.mktemp("release") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    named = packages / f"spark_actors-{RELEASE}.dist-info"
    named.mkdir()
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: spark-actors\nVersion: {RELEASE}\n")
    (packages / "all_else.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python"


def releases(cluster: Cluster) -> set[str]:
    """What the actors say that they run."""
    return {actor["release"] for actor in cluster.head.status()["status"]["actors"]}


def upgraded(python: Path | str, cluster: Cluster) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "spark_actors.cli", "upgrade", "--why", "a test", "--by", "me"]
    return subprocess.run(
        [*command, "--data-dir", str(cluster.head.data_dir)],
        env=environment(),
        cwd=cluster.head.data_dir.parent,  # where no source tree lies
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_another_release_takes_over_and_gives_back(cluster: Cluster, other_release: Path) -> None:
    (before,) = releases(cluster)
    with load(cluster) as working:
        for python, release in ((other_release, RELEASE), (sys.executable, before)):
            done = upgraded(python, cluster)
            assert done.returncode == 0, done.stderr
            assert "done" in done.stdout
            assert releases(cluster) == {release}
            assert eventually(cluster.is_ready)
            answered = sum(working.outcomes.values())
            assert eventually(lambda seen=answered: sum(working.outcomes.values()) > seen + 100)  # type: ignore[misc]
            assert eventually(lambda: len({each.node_id for each in cluster.desk.places()}) == 2, 60)


def test_settings_are_read_anew_and_what_needs_a_start_is_refused(cluster: Cluster) -> None:
    file = cluster.settings_file
    with load(cluster) as working:
        file.write_text("[identity]\nsession_seconds = 1234\n")
        done = cluster.head.cli("reload", "--why", "longer sessions", "--by", "me")
        assert done.returncode == 0, done.stderr
        assert eventually(cluster.is_ready)
        answered = sum(working.outcomes.values())
        assert eventually(lambda: sum(working.outcomes.values()) > answered + 100)
        file.write_text("[cluster]\npostgres_port = 4333\n")
        refused = cluster.head.cli("reload", "--why", "another port", "--by", "me")
        assert refused.returncode != 0
        assert "cluster was changed, which only a new start of the daemon takes up" in refused.stderr
        assert eventually(cluster.is_ready)
