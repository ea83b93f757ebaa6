import os
import sqlite3
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.engine.configuration import BindMount, ContainerConfig, HostConfig, Ulimit
from nbcontainers.engine.model import Container, MountPoint
from nbcontainers.engine.state import State


def make_container(name: str = "calm_jug", container_id: str = "a" * 64, created_ns: int = 1) -> Container:
    return Container(
        id=container_id,
        name=name,
        image_id="sha256:" + "0" * 64,
        created_ns=created_ns,
        config=ContainerConfig(image="host", env=("A=1",), labels={"x": "y"}, cmd=("sh", "-c", "true")),
        host_config=HostConfig(
            memory_bytes=64 << 20,
            mounts=(BindMount(kind="bind", source="/srv", destination="/data", read_only=True),),
            ulimits=(Ulimit(name="nofile", soft=10, hard=20),),
        ),
        mounts=(MountPoint(kind="bind", name="", source="/srv", destination="/data", read_only=True),),
    )


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    state = State(tmp_path)
    second = make_container("second", "b" * 64, created_ns=2)
    first = make_container("first", created_ns=1)
    state.save(second)
    state.save(first)
    state.close()

    again = State(tmp_path)
    assert again.containers() == [first, second]
    again.forget(first.id)
    assert again.containers() == [second]
    again.close()


def test_a_second_engine_is_refused_and_the_lock_is_given_back(tmp_path: Path) -> None:
    state = State(tmp_path)
    with pytest.raises(errors.Conflict, match=f"another engine .pid {os.getpid()}. works on"):
        State(tmp_path)
    state.close()
    State(tmp_path).close()


def test_a_taken_name_is_a_conflict(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.save(make_container("one"))
    with pytest.raises(errors.Conflict, match="'one' is already in use"):
        state.save(make_container("one", "b" * 64))
    state.close()


def test_a_broken_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"this is not a database, it only looks like a file" * 100)
    with pytest.raises(errors.Unavailable, match=r"state\.db.*not a database.*move it away"):
        State(tmp_path)
    (tmp_path / "state.db").unlink()
    State(tmp_path).close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    State(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(errors.Unavailable, match="schema 99"):
        State(tmp_path)


def test_the_database_is_private(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600
    state.close()
