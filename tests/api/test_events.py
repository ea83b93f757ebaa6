"""What filters of events fit."""

import pytest

from nbcontainers.api.events import matches
from nbcontainers.engine.model import Event


def _event(kind: str, action: str, actor: str = "1234", **attributes: str) -> Event:
    return Event(type=kind, action=action, actor_id=actor, attributes=attributes, time_ns=1)


STARTED = _event("container", "start", image="busybox:1", name="web", colour="red")
PROBED = _event("container", "health_status: healthy", image="busybox:1", name="web")
TAGGED = _event("image", "tag", "sha256:5678", name="busybox:1")
MOUNTED = _event("volume", "mount", "data", driver="local")


@pytest.mark.parametrize(
    ("event", "filters", "wanted"),
    [
        (STARTED, {}, True),
        (STARTED, {"type": ["container", "image"]}, True),
        (STARTED, {"type": ["image"]}, False),
        (STARTED, {"event": ["die", "start"]}, True),
        (STARTED, {"event": ["sta"]}, False),
        (PROBED, {"event": ["health_status"]}, True),
        (PROBED, {"event": ["health_status: healthy"]}, True),
        (PROBED, {"event": ["health_status: unhealthy"]}, False),
        (STARTED, {"container": ["web"]}, True),
        (STARTED, {"container": ["12"]}, True),
        (STARTED, {"container": ["eb"]}, False),
        (STARTED, {"image": ["busybox:1"]}, True),
        (STARTED, {"image": ["busybox"]}, True),
        (STARTED, {"image": ["busy"]}, False),
        (TAGGED, {"image": ["busybox"]}, True),
        (TAGGED, {"container": ["busybox"]}, False),
        (MOUNTED, {"volume": ["data"]}, True),
        (MOUNTED, {"image": ["data"]}, False),
        (STARTED, {"label": ["colour"]}, True),
        (STARTED, {"label": ["colour=red", "size"]}, False),
        (STARTED, {"scope": ["local"]}, True),
        (STARTED, {"scope": ["swarm"]}, False),
        (STARTED, {"daemon": ["x"]}, False),
    ],
)
def test_filters(event: Event, filters: dict[str, list[str]], wanted: bool) -> None:
    assert matches(event, filters) is wanted
