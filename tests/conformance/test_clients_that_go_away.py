"""Clients that leave in the middle of things: nothing of theirs stays in the engine."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root]


def _descriptors(engine: EngineProcess) -> int:
    assert engine.process is not None
    return len(os.listdir(f"/proc/{engine.process.pid}/fd"))


def _connect(engine: EngineProcess, request: str) -> socket.socket:
    """Send a request and wait for the head of its answer."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(engine.socket))
    connection.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    assert b" 200 " in connection.recv(4096)
    return connection


def _falls_to(engine: EngineProcess, count: int) -> bool:
    """Say whether the engine comes back to that many descriptors: its side of a connection closes after ours."""
    deadline = time.monotonic() + 10
    while _descriptors(engine) > count:
        if time.monotonic() > deadline:
            return False
        engine.client.ping()
    return True


def test_streams_end_with_their_clients(engine: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True, stdin_open=True)
    container.stats(stream=False)  # from now on the engine keeps the files of its samples open
    before = _descriptors(engine)
    requests = (
        "GET /events",
        f"GET /containers/{container.id}/logs?follow=1&stdout=1",
        f"GET /containers/{container.id}/stats",
        f"POST /containers/{container.id}/wait",
        f"POST /containers/{container.id}/attach?stream=1&stdin=1&stdout=1",
    )
    connections = [_connect(engine, request) for request in requests for _ in range(5)]
    assert _descriptors(engine) >= before + len(connections)
    for connection in connections:
        connection.close()
    assert _falls_to(engine, before + 3)  # the pool of prepared namespaces may be at another filling
    container.reload()
    assert container.status == "running"


def test_a_slow_reader_stops_nobody(engine: EngineProcess, client: docker.DockerClient) -> None:
    command = ["sh", "-c", "yes | head -n 3000000; sleep 60"]
    talker = client.containers.run("busybox", command, detach=True)
    with _connect(engine, f"GET /containers/{talker.id}/logs?follow=1&stdout=1"):
        begun = time.monotonic()
        assert client.containers.run("busybox", ["echo", "quick"], remove=True) == b"quick\n"
        assert time.monotonic() - begun < 20


def test_who_still_sends_gets_all_output(engine: EngineProcess, client: docker.DockerClient) -> None:
    """A container that has ended does not take its output from a client that is in the midst of sending."""
    container = client.containers.create("busybox", ["echo", "all of it"], stdin_open=True, network_mode="none")
    attach = f"POST /containers/{container.id}/attach?stream=1&stdin=1&stdout=1"
    with _connect(engine, attach) as connection, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(connection.sendall, bytes(4 << 20))
        container.start()
        container.wait()
        received = b""
        while data := connection.recv(4096):
            received += data
        assert received.endswith(b"all of it\n")
        sending.result(10)


def test_a_stop_is_finished_without_its_client(engine: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "60"], detach=True)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(engine.socket))
    connection.sendall(f"POST /containers/{container.id}/stop?t=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for event in client.events(decode=True, since=int(time.time()) - 5, filters={"container": container.id}):
        if event["Action"] == "kill":
            break
    connection.close()
    assert container.wait()["StatusCode"] == 137


def test_containers_leave_no_descriptor_behind(engine: EngineProcess, client: docker.DockerClient) -> None:
    client.containers.run("busybox", "true", remove=True)
    before = _descriptors(engine)
    for _ in range(20):
        client.containers.run("busybox", "true", remove=True)
    client.close()  # docker-py keeps connections
    assert _falls_to(engine, before + 3)
