"""What tests need of the machine: one place decides whether it is there, skips, and says what is missing.

A test says what it needs with a marker, ``@pytest.mark.root``; a fixture by calling the fixture ``need``.
``--require=root,peer`` turns the skip for want of these into a failure, so that a machine that is meant to have them
cannot pass by running nothing.
"""

import os
import platform
import shutil
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import pytest

from nbcontainers import errors
from nbcontainers.linux import cgroups
from tests.busybox import BUSYBOX
from tests.jupyter_process import LABEXTENSION
from tests.uml import boot


def _root() -> str:
    return "" if os.geteuid() == 0 else f"needs root, this is user {os.geteuid()}"


def _user_namespaces() -> str:
    child = os.fork()
    if child == 0:
        os._exit(_enter_user_namespace())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if status == 0 else "needs user namespaces: sysctl user.max_user_namespaces, or a kernel with them"


def _enter_user_namespace() -> int:
    from nbcontainers.linux import namespaces

    try:
        namespaces.unshare(namespaces.KINDS["user"])
    except OSError:
        return 1
    return 0


@cache
def cgroup_driver() -> str:
    """Return which driver this machine's control groups have: ``v1``, ``v2``, ``hybrid``, or empty for none."""
    try:
        driver = cgroups.detect()
    except (OSError, errors.Unavailable):
        return ""
    names = {cgroups.DriverV1: "v1", cgroups.DriverV2: "v2", cgroups.DriverHybrid: "hybrid"}
    return names[type(driver)]


def _cgroup_v1() -> str:
    return "" if cgroup_driver() == "v1" else "needs cgroup v1, with all controllers in it"


def _in_guest(name: str) -> str:
    """Return why tests for a driver can run neither here nor in a guest."""
    if cgroup_driver() == name or not (why := boot.missing()):
        return ""
    return f"needs cgroup {name}, here or in user-mode Linux: {why}"


def _busybox() -> str:
    return "" if BUSYBOX.exists() else f"needs {BUSYBOX}: apt install busybox-static"


def _browser() -> str:
    return "" if shutil.which("chromium") else "needs chromium: apt install chromium"


def _labextension() -> str:
    return "" if (LABEXTENSION / "package.json").exists() else "needs the built labextension: make setup"


def _peer() -> str:
    return "" if shutil.which("docker") else "needs the docker CLI: apt install docker.io"


def _debian() -> str:
    return "" if shutil.which("mmdebstrap") else "needs mmdebstrap, and Debian's packages: apt install mmdebstrap"


def _image_tools() -> str:
    missing = [tool for tool in ("skopeo", "umoci") if not shutil.which(tool)]
    return f"needs other tools for images: apt install {' '.join(missing)}" if missing else ""


def _registry() -> str:
    return "" if shutil.which("docker-registry") else "needs a registry: apt install docker-registry"


class Need(NamedTuple):
    """Something that a machine may lack: what it is, and a function that says what is missing, empty for nothing."""

    meaning: str
    missing: Callable[[], str]


NEEDS = {
    "root": Need("needs root", _root),
    "userns": Need("needs unprivileged user namespaces", _user_namespaces),
    "cgroup_v1": Need("needs the cgroup v1 controllers", _cgroup_v1),
    "cgroup_v2": Need("needs a unified cgroup v2 hierarchy with controllers", lambda: _in_guest("v2")),
    "cgroup_hybrid": Need("needs controllers in cgroup v1 and others in v2", lambda: _in_guest("hybrid")),
    "busybox": Need("needs a static busybox", _busybox),
    "browser": Need("needs Chromium", _browser),
    "labextension": Need("needs JupyterLab's extension to be built", _labextension),
    "debian": Need("needs a root file system of Debian", _debian),
    "image_tools": Need("needs skopeo and umoci", _image_tools),
    "registry": Need("needs the real docker-registry", _registry),
    "peer": Need("needs a real peer (dockerd, the docker CLI, ...)", _peer),
}


@cache
def _missing(name: str) -> str:
    return NEEDS[name].missing()


def _need(config: pytest.Config, *names: str) -> None:
    for name in names:
        if reason := _missing(name):
            if name in _required(config):
                pytest.fail(f"--require={name}: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def need(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that skips the test, or fails it where that is required, unless the machine has what is named."""
    return partial(_need, request.config)


def _required(config: pytest.Config) -> list[str]:
    return [name for name in str(config.getoption("require")).split(",") if name]


def pytest_addoption(parser: pytest.Parser) -> None:
    text = f"fail, rather than skip, tests that lack one of these, separated by commas: {', '.join(NEEDS)}"
    parser.addoption("--require", default="", metavar="NEEDS", help=text)


def pytest_configure(config: pytest.Config) -> None:
    for name, what in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: {what.meaning}")
    for name in _required(config):
        if name not in NEEDS:
            raise pytest.UsageError(f"--require={name}: not one of {', '.join(NEEDS)}")


def pytest_report_header() -> str:
    return f"machine: Linux {platform.release()}, cgroup {cgroup_driver() or 'none'}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _need(item.config, *dict.fromkeys(marker.name for marker in item.iter_markers() if marker.name in NEEDS))
