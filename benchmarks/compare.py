"""Compares engines through docker-py, side by side in one run: ``compare.py ours=unix://… dockerd=unix://…``.

Without arguments it starts an engine of ours and a private dockerd, and stops both. The table of issue 2.
"""

import argparse
import contextlib
import io
import os
import statistics
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import docker

from benchmarks.dockerd import private_dockerd
from benchmarks.published import throughput
from benchmarks.pulling import filled_registry
from tests.busybox import root_file_system
from tests.engine_process import running_engine
from tests.images.registry.servers import running_registry

Case = Callable[[Any], float]
PAUSE_SECONDS = 0.1
LINES = 2_000_000
REQUESTS_OF_A_RUN = 7
LINES_BACK = 200_000


def _median(act: Callable[[], object], times: int) -> float:
    """Return the median of several runs, in milliseconds; a pause between them lets background work end."""
    taken = []
    for _ in range(times):
        time.sleep(PAUSE_SECONDS)
        taken.append(_milliseconds(act))
    return statistics.median(taken)


def _milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def run_bridge(client: Any) -> float:
    """``containers.run("busybox", "true", remove=True)`` on the bridge, ms."""
    return _median(lambda: client.containers.run("busybox", "true", remove=True), 11)


def run_none(client: Any) -> float:
    """The same without a network, ms."""
    return _median(lambda: client.containers.run("busybox", "true", remove=True, network_mode="none"), 11)


def floor(client: Any) -> float:
    """As many requests as that takes, each to a path of its own as there, that do nothing: what docker-py takes, ms."""

    def ask() -> None:
        for number in range(REQUESTS_OF_A_RUN):
            with contextlib.suppress(docker.errors.NotFound):
                client.api.inspect_container(f"nobody-{time.monotonic_ns()}-{number}")

    return _median(ask, 11)


def execute(client: Any) -> float:
    """``container.exec_run("true")``, ms."""
    container = client.containers.run("busybox", ["sleep", "600"], detach=True, network_mode="none")
    try:
        return _median(lambda: container.exec_run("true"), 21)
    finally:
        container.remove(force=True)


def burst(client: Any) -> float:
    """30 detached starts from 8 threads, ms per container."""
    started: list[Any] = []

    def start(_: int) -> None:
        started.append(client.containers.run("busybox", ["sleep", "600"], detach=True, network_mode="none"))

    def all_of_them() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(start, range(30)))

    taken = _milliseconds(all_of_them) / 30
    for container in started:
        container.remove(force=True)
    return taken


def _dockerfile(tag: str) -> bytes:
    return ("FROM busybox\n" + "".join(f"RUN echo {tag} {number}\n" for number in range(10))).encode()


def _build(client: Any, text: bytes, **options: object) -> None:
    client.images.build(fileobj=io.BytesIO(text), rm=True, **options)


def build(client: Any) -> float:
    """10 RUN steps without cache, ms per step."""
    return _median(lambda: _build(client, _dockerfile("x"), nocache=True), 3) / 10


def build_cached(client: Any) -> float:
    """The same, cached, ms for the whole build."""
    _build(client, _dockerfile("cached"))
    return _median(lambda: _build(client, _dockerfile("cached")), 7)


def _context(files: dict[str, int]) -> bytes:
    """Return a context that copies all its files: names, and how many bytes each has."""
    buffer, content = io.BytesIO(), os.urandom(max(files.values()))
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, size in {"Dockerfile": 0, **files}.items():
            data = b"FROM busybox\nCOPY files /files\n" if name == "Dockerfile" else content[:size]
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _copy(client: Any, context: bytes) -> float:
    def build() -> None:
        messages = client.api.build(
            fileobj=io.BytesIO(context), custom_context=True, nocache=True, rm=True, decode=True, tag="copied"
        )
        if "Successfully" not in str(list(messages)[-1]):
            raise ValueError("the build has failed")

    return _median(build, 3)


def copy_small(client: Any) -> float:
    """COPY of 10,000 files of 100 to 1,000 bytes, ms."""
    return _copy(client, _context({f"files/{n % 100}/{n}": 100 + n % 900 for n in range(10_000)}))


def copy_large(client: Any) -> float:
    """COPY of one file of 1 GB, ms."""
    return _copy(client, _context({"files/large": 1 << 30}))


def stages(client: Any) -> float:
    """Two stages that do not need each other, of 1 s each, and a third one with something of both, ms."""
    text = (
        b"FROM busybox AS a\nRUN sleep 1 && touch /a\nFROM busybox AS b\nRUN sleep 1 && touch /b\n"
        b"FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    return _milliseconds(lambda: _build(client, text, nocache=True))


def log_in(client: Any) -> float:
    """Lines through the log, million lines a second."""
    program = f"yes 'a line of output, neither long nor short' | head -n {LINES}"

    def run() -> None:
        container = client.containers.run("busybox", ["sh", "-c", program], detach=True, network_mode="none")
        container.wait()
        container.remove()

    return LINES / _milliseconds(run) / 1000


def log_out(client: Any) -> float:
    """Stamped lines read back, million lines a second."""
    program = f"yes 'a line of output, neither long nor short' | head -n {LINES_BACK}"
    container = client.containers.run("busybox", ["sh", "-c", program], detach=True, network_mode="none")
    container.wait()
    read = [0]

    def logs() -> None:
        read[0] = container.logs(timestamps=True).count(b"\n")

    taken = _median(logs, 3)
    container.remove()
    if read[0] != LINES_BACK:
        raise ValueError(f"{read[0]} lines came back of {LINES_BACK}")
    return LINES_BACK / taken / 1000


def pull(client: Any, name: str) -> float:
    """Pull an image from a registry on this machine, and unpack it, ms."""
    taken = []
    for _ in range(3):
        time.sleep(PAUSE_SECONDS)
        taken.append(_milliseconds(lambda: client.images.pull(name, tag="1")))
        client.images.remove(f"{name}:1")
    return statistics.median(taken)


def push(client: Any, name: str) -> float:
    """Push an image, which has come from another one, to a registry on this machine that has nothing, ms."""
    client.images.pull(name, tag="1")
    taken = []
    for _ in range(3):
        with running_registry() as server:
            target = f"{server.address}/pushed"
            client.images.get(f"{name}:1").tag(target, "1")
            time.sleep(PAUSE_SECONDS)
            taken.append(_milliseconds(partial(_push, client, target)))
            client.images.remove(f"{target}:1")
    client.images.remove(f"{name}:1")
    return statistics.median(taken)


def _push(client: Any, name: str) -> None:
    last = list(client.api.push(name, "1", stream=True, decode=True))[-1]
    if "aux" not in last:
        raise ValueError(f"the push has failed: {last}")


def _transfers(registry: str) -> list[tuple[str, str, Case, bool]]:
    return [
        ("pull a Debian root", "ms", lambda client: pull(client, f"{registry}/debian"), False),
        ("pull ten layers", "ms", lambda client: pull(client, f"{registry}/layers"), False),
        ("push a Debian root", "ms", lambda client: push(client, f"{registry}/debian"), False),
        ("push ten layers", "ms", lambda client: push(client, f"{registry}/layers"), False),
    ]


CASES: list[tuple[str, str, Case, bool]] = [
    ("run true, bridge", "ms", run_bridge, False),
    ("run true, no network", "ms", run_none, False),
    ("its requests, no work", "ms", floor, False),
    ("exec true", "ms", execute, False),
    ("burst, per container", "ms", burst, False),
    ("RUN step, no cache", "ms", build, False),
    ("10 RUN steps, cached", "ms", build_cached, False),
    ("COPY of 10,000 files", "ms", copy_small, False),
    ("COPY of 1 GB", "ms", copy_large, False),
    ("two stages of 1 s", "ms", stages, False),
    ("published port", "Gbit/s", throughput, True),
    ("log in", "M lines/s", log_in, True),
    ("log out, stamped", "M lines/s", log_out, True),
]


def compare(engines: dict[str, str], registry: str) -> None:
    """Run every case on every engine and print a row for each; the registry has the images of ``pulling``."""
    clients: dict[str, Any] = {name: docker.DockerClient(base_url=url, timeout=600) for name, url in engines.items()}
    for client in clients.values():
        client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
    print(f"{'case':24}" + "".join(f"{name:>14}" for name in engines) + "   ratio")
    for title, unit, case, more_is_better in [*CASES, *_transfers(registry)]:
        values = [case(client) for client in clients.values()]
        ratio = values[0] / values[-1] if more_is_better else values[-1] / values[0]
        print(f"{title:24}" + "".join(f"{value:>14.2f}" for value in values) + f"   {ratio:.1f}×  {unit}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description="Run the same work on several engines through docker-py, and print a row for each case.",
        epilog="Without an engine it starts one of ours and a private dockerd, and stops both.",
    )
    parser.add_argument(
        "engines",
        nargs="*",
        type=_engine,
        metavar="NAME=URL",
        help="an engine, such as dockerd=unix:///run/docker.sock",
    )
    return parser


def _engine(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not (name and equals and "://" in url):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=URL, such as ours=unix:///run/nbcontainers/engine.sock")
    return name, url


def main() -> None:
    """Compare the engines named on the command line, or ours with dockerd."""
    given = dict(_parser().parse_args().engines)
    with filled_registry() as registry:
        if given:
            compare(given, registry)
            return
        with running_engine() as ours, private_dockerd() as dockerd:
            compare({"nbcontainers": ours.url, "dockerd": dockerd}, registry)


if __name__ == "__main__":
    main()
