"""What people run in containers: Postgres and Redis, from Debian's packages, by a compose file that builds them.

The base is a root file system that mmdebstrap makes once per machine; Postgres and Redis are built on it as anybody
would, by ``apt-get install`` in a Dockerfile. The tutorials do that by the same words, on the same engine: whoever
comes second finds it in the cache, as the images stay.
"""

import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.composing import running_compose
from tests.engine_process import EngineProcess

# The first time on a machine Debian is installed, and each time Postgres is: on a busy machine that takes minutes.
pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.debian, pytest.mark.timeout(600)]

FILES = Path(__file__).parents[1] / "data" / "compose"
Compose = Callable[..., str]


@pytest.fixture(scope="module")
def engine(debian_engine: EngineProcess) -> EngineProcess:
    """That of the tutorials which need Debian."""
    return debian_engine


@pytest.fixture(scope="module")
def compose(engine: EngineProcess) -> Iterator[Compose]:
    """Runs docker-compose for a project of the shop and returns what it prints; its images are there, and stay."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")

    with running_compose(engine.environment) as run:

        def compose(project: str, *arguments: str) -> str:
            status, printed = run("-p", project, "-f", str(FILES / "docker-compose.yml"), *arguments)
            assert status == 0, arguments
            return printed

        compose("shop", "build", "--quiet")
        yield compose
        for project in ("shop", "other"):
            compose(project, "down", "-v", "-t", "0")
    engine.client.volumes.prune(filters={"all": True})  # those of images, which a plain "down" leaves


def visit(compose: Compose, project: str) -> list[str]:
    """Fetch the page from outside."""
    address = compose(project, "port", "web", "8080").strip()
    with urllib.request.urlopen(f"http://{address}/cgi-bin/visits", timeout=30) as page:
        return str(page.read().decode()).split()


def counts(number: int) -> list[str]:
    return [f"database|{number}", f"cache|{number}"]


def test_services_find_each_other_and_keep_their_data(compose: Compose, engine: EngineProcess) -> None:
    compose("shop", "up", "-d")
    assert visit(compose, "shop") == counts(1)
    assert visit(compose, "shop") == counts(2)
    assert compose("shop", "exec", "-T", "cache", "redis-cli", "config", "get", "maxmemory").split()[1] == str(32 << 20)

    compose("shop", "down")
    assert engine.client.containers.list(all=True, filters={"label": "com.docker.compose.project=shop"}) == []
    compose("shop", "up", "-d")
    assert visit(compose, "shop") == counts(3)


def test_two_databases_side_by_side_know_nothing_of_each_other(compose: Compose, engine: EngineProcess) -> None:
    compose("shop", "up", "-d")
    compose("other", "up", "-d")
    counted = visit(compose, "shop")
    assert visit(compose, "other") == counts(1)
    assert visit(compose, "other") == counts(2)
    assert visit(compose, "shop") == counts(int(counted[0].partition("|")[2]) + 1)

    database = engine.client.containers.get("shop_db_1")
    address = database.attrs["NetworkSettings"]["Networks"]["shop_default"]["IPAddress"]
    web = engine.client.containers.get("other_web_1")
    for host in (address, "shop_db_1"):
        code, said = web.exec_run(["pg_isready", "-h", host, "-t", "1"])
        assert (code, said) == (2, f"{host}:5432 - no response\n".encode())
    assert web.exec_run(["pg_isready", "-h", "db", "-t", "5"])[0] == 0
