"""Who is started again when it has ended."""

import pytest

from nbcontainers import errors
from nbcontainers.engine.configuration import ContainerConfig, HostConfig, RestartPolicy
from nbcontainers.engine.model import Container, ContainerState
from nbcontainers.engine.restarts import check, due, due_at_start


def _container(policy: RestartPolicy, *, restarts: int = 0, stopped: bool = False, status: str = "exited") -> Container:
    return Container(
        id="0" * 64,
        name="x",
        image_id="",
        created_ns=1,
        config=ContainerConfig(image="x"),
        host_config=HostConfig(restart_policy=policy),
        state=ContainerState(status=status, started_at_ns=0 if status == "created" else 1),  # type: ignore[arg-type]
        restart_count=restarts,
        stopped_by_user=stopped,
    )


ALWAYS, UNLESS = RestartPolicy(name="always"), RestartPolicy(name="unless-stopped")
FAILURE, TWICE = RestartPolicy(name="on-failure"), RestartPolicy(name="on-failure", maximum_retries=2)


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "stopped", "again"),
    [
        (RestartPolicy(), 1, 0, False, False),
        (ALWAYS, 0, 9, False, True),
        (ALWAYS, 1, 0, True, False),
        (UNLESS, 0, 0, False, True),
        (UNLESS, 0, 0, True, False),
        (FAILURE, 0, 0, False, False),
        (FAILURE, 1, 99, False, True),
        (FAILURE, 137, 0, True, False),
        (TWICE, 1, 1, False, True),
        (TWICE, 1, 2, False, False),
    ],
)
def test_due(policy: RestartPolicy, code: int, restarts: int, stopped: bool, again: bool) -> None:
    assert due(_container(policy, restarts=restarts, stopped=stopped), code) is again


@pytest.mark.parametrize(
    ("policy", "status", "stopped", "started"),
    [
        (ALWAYS, "exited", True, True),
        (ALWAYS, "dead", False, True),
        (ALWAYS, "created", False, False),
        (ALWAYS, "running", False, False),
        (UNLESS, "exited", False, True),
        (UNLESS, "exited", True, False),
        (FAILURE, "exited", False, False),
        (RestartPolicy(), "exited", False, False),
    ],
)
def test_what_a_new_engine_starts(policy: RestartPolicy, status: str, stopped: bool, started: bool) -> None:
    assert due_at_start(_container(policy, stopped=stopped, status=status)) is started


@pytest.mark.parametrize(
    ("policy", "auto_remove"),
    [
        (RestartPolicy(name="always", maximum_retries=3), False),
        (RestartPolicy(name="no", maximum_retries=1), False),
        (RestartPolicy(name="on-failure", maximum_retries=-1), False),
        (ALWAYS, True),
    ],
)
def test_nonsense(policy: RestartPolicy, auto_remove: bool) -> None:
    with pytest.raises(errors.InvalidArgument):
        check(policy, auto_remove=auto_remove)
