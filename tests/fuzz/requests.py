"""Requests of all kinds, drawn from what the engine itself knows: its routes, and the types of their bodies.

Paths come from the routes, bodies from the wire types, so that what is served tomorrow is asked tomorrow. Beside what
fits there is what does not: other types, huge numbers, names that climb. Some fields are drawn from lists of what is
harmless to this machine, for what they ask for is carried out.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from nbcontainers.api import routes
from nbcontainers.api.wire import networks, requests

NAMES = ("box", "web", "db")
"""Containers, networks, volumes and images are all called so: things of every kind are found, and taken."""
_LEFT_OUT = re.compile(r"/(attach|session|swarm|nodes|services|tasks|secrets|configs|plugins)")
_BODIES: dict[str, Any] = {
    "/containers/create": requests.CreateRequest,
    "/containers/{id}/update": requests.UpdateRequest,
    "/networks/create": networks.NetworkCreateRequest,
    "/networks/{id}/connect": networks.NetworkConnectRequest,
    "/networks/{id}/disconnect": networks.NetworkDisconnectRequest,
    "/volumes/create": requests.VolumeCreateRequest,
    **({"/containers/{id}/exec": requests.ExecCreateRequest} if hasattr(requests, "ExecCreateRequest") else {}),
    **({"/exec/{id}/start": requests.ExecStartRequest} if hasattr(requests, "ExecStartRequest") else {}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes over the socket."""

    method: str
    target: str
    body: bytes


names = st.sampled_from([*NAMES, "busybox", "host", "bridge", "none"])
odd_texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "..", "/", "a/../..", "/etc", "x" * 300, "\x00", "%", "é", "-1", "0", "null", "sha256:", "🐳"]
    ),
)
texts = st.one_of(names, odd_texts)
numbers = st.one_of(
    st.integers(-2, 100), st.sampled_from([1 << 20, 64 << 20, 1 << 31, (1 << 63) - 1, -(1 << 63), 10**9, 50_000])
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

_COMMANDS = st.sampled_from([["true"], ["false"], ["sleep", "600"], ["sh", "-c", "echo out; echo err >&2"], ["nosuch"]])
_PATHS = st.sampled_from(["/", "/tmp/x", "/etc", "/proc", "relative", "/bin/sh", "/dev/null", "/../..", ""])
_PLACES = st.sampled_from(["box:/data", "web:/data:ro", ":/x", "box:relative", "/nosuch/../tmp:/y:zz", "a:b:c:d"])
_HARMLESS: dict[str, st.SearchStrategy[Any]] = {
    "Image": st.sampled_from(["busybox", "busybox", "busybox", "nosuch", ""]),
    "Cmd": _COMMANDS,
    "Entrypoint": st.none() | _COMMANDS,
    "Binds": st.lists(_PLACES, max_size=2),
    "Source": st.sampled_from(["box", "web", "", "relative"]),
    "PathOnHost": st.sampled_from(["/dev/null", "/dev/nosuch", ""]),
    "PathInContainer": _PATHS,
    "Path": st.sampled_from(["/dev/null", "/dev/nosuch", "true", ""]),
    "Target": _PATHS,
    "Subnet": st.sampled_from(["10.213.0.0/24", "10.213.1.0/24", "10.213.0.0/33", "nonsense", "fd00:213::/64", ""]),
    "Gateway": st.sampled_from(["10.213.0.1", "10.1.1.1", "nonsense", ""]),
    "IPRange": st.sampled_from(["10.213.0.0/28", "10.9.0.0/28", ""]),
    "HostPort": st.sampled_from(["", "0", "70000", "x"]),
    "Sysctls": st.dictionaries(st.sampled_from(["net.ipv4.ip_forward", "kernel.shmmax", "x"]), texts, max_size=1),
    "NetworkMode": st.sampled_from(["none", "bridge", "box", "container:box", "container:nosuch", "", "nosuch"]),
    "PidMode": st.sampled_from(["", "container:web", "nonsense"]),
    "IpcMode": st.sampled_from(["", "private", "shareable", "none", "container:db", "nonsense"]),
    "UTSMode": st.sampled_from(["", "nonsense"]),
    "CgroupParent": st.sampled_from(["", "/x", "../.."]),
    "Interval": st.sampled_from([0, 10**9, -1, 5]),
    "Privileged": st.just(False),
    "RestartPolicy": st.fixed_dictionaries({"Name": st.sampled_from(["no", "on-failure", "nonsense"])}),
    "DriverOpts": st.dictionaries(texts, texts, max_size=1),
    "StopTimeout": st.sampled_from([0, 1, None]),
    "Name": texts,
    "Container": texts,
    "HostConfig": st.deferred(lambda: of_type(requests.HostConfig)),
}


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Return what draws values that a wire type would take, as JSON has them."""
    return _of(inspect.type_info(kind))


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType(fields=fields):
            return st.fixed_dictionaries(
                {}, optional={field.encode_name: _field(field.encode_name, field.type) for field in fields}
            ).map(dict)
        case inspect.UnionType(types=kinds):
            return st.one_of([_of(one) for one in kinds])
        case inspect.ListType(item_type=item):
            return st.lists(_of(item), max_size=2)
        case inspect.DictType(value_type=value):
            return st.dictionaries(texts, _of(value), max_size=2)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType() | inspect.FloatType():
            return numbers
        case inspect.NoneType():
            return st.none()
        case inspect.StrType():
            return texts
        case _:
            return anything


def _field(name: str, kind: inspect.Type) -> st.SearchStrategy[Any]:
    return _HARMLESS[name] if name in _HARMLESS else _of(kind)


def _body(pattern: str) -> st.SearchStrategy[bytes]:
    if pattern == "/containers/create":
        whole = of_type(requests.CreateRequest).map(lambda body: {"Image": "busybox", "Cmd": ["sleep", "600"], **body})
    elif pattern in _BODIES:
        whole = of_type(_BODIES[pattern])
    else:
        return st.just(b"")
    return st.one_of(whole, whole, whole, anything).map(lambda body: json.dumps(body).encode()) | st.sampled_from(
        [b"", b"{", b"[]", b"\xff\xfe", b"null"]
    )


_FLAGS = (
    "all",
    "size",
    "force",
    "v",
    "stdout",
    "stderr",
    "timestamps",
    "one-shot",
    "noprune",
    "pause",
    "quiet",
    "link",
)
_QUERY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(_FLAGS, st.sampled_from(["0", "1", "true", "x", ""])),
    "name": texts,
    "limit": numbers,
    "tail": st.sampled_from(["all", "0", "5", "-1", "x"]),
    "since": st.sampled_from(["0", "1", "10m", "x", "2026-01-01T00:00:00Z", "-5", "9" * 25]),
    "until": st.sampled_from(["1", "2", "x"]),
    "signal": st.sampled_from(["KILL", "TERM", "0", "99", "SIGNOPE", "RTMIN+3"]),
    "t": st.sampled_from(["0", "1", "x", "1.5"]),
    "condition": st.sampled_from(["not-running", "nonsense"]),
    "h": numbers,
    "w": numbers,
    "path": _PATHS,
    "ps_args": st.sampled_from(["-ef", "aux", "--nosuch", "; true"]),
    "repo": texts,
    "tag": texts,
    "container": texts,
    "names": texts,
    "changes": st.sampled_from(["CMD true", "NOPE x", "ENV a=b"]),
    "fromImage": st.sampled_from(["nosuch", ""]),
    "fromSrc": st.just("-"),
    "filters": st.one_of(
        st.dictionaries(
            st.sampled_from(["id", "name", "label", "status", "exited", "before", "dangling", "until", "driver", "x"]),
            st.lists(texts, max_size=2) | st.dictionaries(texts, st.booleans(), max_size=2),
            max_size=2,
        ).map(json.dumps),
        st.sampled_from(["[]", "{", "null", '{"name": 3}']),
    ),
}


@st.composite
def any_request(draw: st.DrawFn) -> Request:
    """Draw one request."""
    method, pattern = draw(st.sampled_from(served()))
    path = re.sub(r"\{\w+(:[^}]+)?\}", lambda _: quote(draw(texts), safe=""), pattern)
    query = draw(st.dictionaries(st.sampled_from(sorted(_QUERY)), st.none(), max_size=4))
    values = {name: draw(_QUERY[name]) for name in query}
    if pattern == "/events":
        values["until"] = "1"
    for forever in ("stop", "restart"):
        if pattern.endswith(forever):
            values.setdefault("t", "0")
    version = draw(st.sampled_from(["", "", "/v1.47", "/v1.24", "/v1.99", "/v0.1"]))
    target = f"{version}{path}" + (f"?{urlencode(values)}" if values else "")
    return Request(method, target, draw(_body(pattern)))


def served() -> list[tuple[str, str]]:
    """Return method and path of every route that is asked."""
    return [(route.method, route.pattern) for route in routes.routes() if not _LEFT_OUT.search(route.pattern)]


def described() -> dict[str, Any]:
    """Return the JSON schemas of the bodies, for whoever wants to see what is drawn from."""
    return {path: msgspec.json.schema(kind) for path, kind in _BODIES.items()}
