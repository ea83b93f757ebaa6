"""What a log tells of its container: chosen by options, and as it was when each line was written."""

from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.engine import log_attributes
from nbcontainers.engine.configuration import ContainerConfig, HostConfig
from nbcontainers.engine.model import Container, ContainerState


def _container(options: dict[str, str] | None = None, started_at_ns: int = 1, name: str = "web") -> Container:
    return Container(
        id="abcdef0123456789" * 4,
        name=name,
        image_id="sha256:" + "1" * 64,
        created_ns=1,
        config=ContainerConfig(
            image="busybox", labels={"tier": "a b", "other": "x"}, env=("COLOR=red,blue", "EMPTY=", "UNSET")
        ),
        host_config=HostConfig(log_options=options or {}),
        path="sleep",
        args=("1",),
        state=ContainerState(status="running", started_at_ns=started_at_ns),
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, {}),
        ({"labels": "tier,none"}, {"tier": "a b"}),
        ({"labels-regex": "^o"}, {"other": "x"}),
        ({"env": "COLOR,EMPTY,UNSET"}, {"COLOR": "red,blue", "EMPTY": ""}),
        ({"env-regex": "OL", "labels": "tier"}, {"COLOR": "red,blue", "tier": "a b"}),
        ({"tag": "{{.Name}}/{{.ID}}/{{.ImageName}}"}, {"tag": "web/abcdef012345/busybox"}),
        ({"tag": "{{.ImageID}} {{.Command}} {{upper .ContainerName}}"}, {"tag": "sha256:11111 sleep 1 /WEB"}),
        ({"tag": ""}, {}),
    ],
)
def test_what_is_told(options: dict[str, str], found: dict[str, str]) -> None:
    assert log_attributes.of(_container(options)) == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels-regex": "("}, r"invalid value '\(' for labels-regex"),
        ({"tag": "{{.Nope}}"}, "Nope"),
        ({"tag": "{{"}, "unclosed action"),
    ],
)
def test_what_cannot_be_read_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=words):
        log_attributes.of(_container(options))


def test_lines_tell_what_held_when_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    directory, options = str(tmp_path), {"tag": "{{.Name}}", "labels": "tier"}
    log_attributes.record(directory, _container(options, 100))
    log_attributes.record(directory, _container(options, 100, "renamed"))  # another engine finds it running
    log_attributes.record(directory, _container(options, 200, "renamed"))
    details = log_attributes.Details(directory)
    assert [details.at(ns) for ns in (99, 100, 199, 200)] == [
        b"",
        *[b"tag=web,tier=a+b", b"tag=web,tier=a+b"],
        b"tag=renamed,tier=a+b",
    ]
    with (tmp_path / "log" / "attributes").open("a") as file:
        file.write('[300, {"ta\n')  # the disk was full
    assert log_attributes.Details(directory).at(300) == b"tag=renamed,tier=a+b"


def test_who_asks_for_nothing_has_no_file(tmp_path: Path) -> None:
    log_attributes.record(str(tmp_path), _container())
    assert list(tmp_path.iterdir()) == []
    assert log_attributes.Details(str(tmp_path)).at(1) == b""
