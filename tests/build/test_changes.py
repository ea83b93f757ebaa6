"""Dockerfile instructions as changes of an image that is committed or imported."""

import pytest

from nbcontainers.build.changes import apply_changes
from nbcontainers.errors import DockerfileError
from nbcontainers.images.config import ContainerDefaults, Healthcheck


def test_all_that_change_defaults() -> None:
    changed = apply_changes(
        ContainerDefaults(cmd=["old"], env=["A=0"], working_dir="/srv"),
        [
            'ENTRYPOINT ["sh", "-c"]\nCMD echo $A',
            "ENV A=1 B='two words' C=$A",
            "label x=y",
            "WORKDIR sub/./dir",
            "USER nobody",
            "EXPOSE 80 53/udp",
            "VOLUME /v",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=2s CMD true",
            "ONBUILD COPY . /app",
        ],
    )
    assert changed == ContainerDefaults(
        entrypoint=["sh", "-c"],
        cmd=["/bin/sh", "-c", "echo $A"],
        env=["A=1", "B=two words", "C=0"],
        labels={"x": "y"},
        working_dir="/srv/sub/dir",
        user="nobody",
        exposed_ports={"80/tcp": {}, "53/udp": {}},
        volumes={"/v": {}},
        stop_signal="SIGINT",
        healthcheck=Healthcheck(test=["CMD-SHELL", "true"], interval=2 * 10**9),
        on_build=["COPY . /app"],
    )


def test_an_entrypoint_of_its_own_leaves_no_command_of_before() -> None:
    assert apply_changes(ContainerDefaults(cmd=["old"]), ['ENTRYPOINT ["sh"]']).cmd is None
    assert apply_changes(ContainerDefaults(cmd=["old"]), []).cmd == ["old"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("RUN true", "RUN is not a valid change command"),
        ("Copy a b", "Copy is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("EXPOSE x", "--change:1:8"),
    ],
)
def test_no_others(change: str, text: str) -> None:
    with pytest.raises(DockerfileError, match=text):
        apply_changes(ContainerDefaults(), [change])
