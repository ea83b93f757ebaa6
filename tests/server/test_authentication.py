"""Every method of every handler is refused to who does not bring Jupyter's token."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from tornado.web import RequestHandler

import nbcontainers.server
from nbcontainers.server.engine import Engine
from nbcontainers.server.handlers import Handler, routes
from tests.jupyter_process import JupyterProcess
from tests.server.unprotected import UnprotectedHandler

METHODS = ("get", "post", "put", "patch", "delete", "head")
# A browser that another site sends here has the cookie that belongs to this header; so may a stranger.
XSRF = {"Cookie": "_xsrf=0123456789", "X-XSRFToken": "0123456789"}
ROUTES = {path: handler for path, handler, _ in routes("/", Engine("unix:///nowhere"))}


def answered(handler: type[RequestHandler]) -> list[str]:
    """Return the methods that a handler implements."""
    unimplemented = RequestHandler._unimplemented_method
    return [method for method in METHODS if getattr(handler, method) is not unimplemented]


def open_to_strangers(jupyter: JupyterProcess, path: str, handler: type[RequestHandler]) -> list[str]:
    """Return the methods that answer without a token with anything but 403."""
    status = {
        method: jupyter.request(method.upper(), path, token=None, headers=XSRF)[0] for method in answered(handler)
    }
    return [method for method, code in status.items() if code != 403]


@pytest.mark.root
@pytest.mark.busybox
@pytest.mark.parametrize("path", ROUTES)
def test_a_stranger_is_refused(jupyter: JupyterProcess, path: str) -> None:
    assert answered(ROUTES[path])
    assert open_to_strangers(jupyter, path, ROUTES[path]) == []


@pytest.mark.root
@pytest.mark.busybox
@pytest.mark.parametrize("path", ROUTES)
def test_a_wrong_token_is_refused(jupyter: JupyterProcess, path: str) -> None:
    for method in answered(ROUTES[path]):
        assert jupyter.request(method.upper(), path, token="wrong", headers=XSRF)[0] == 403


@pytest.mark.root
@pytest.mark.busybox
def test_the_check_finds_an_unprotected_handler(jupyter: JupyterProcess) -> None:
    assert open_to_strangers(jupyter, "/unprotected", UnprotectedHandler) == ["get", "post"]


def test_no_handler_escapes_the_check() -> None:
    """A handler that is written anywhere in the package is a route, so the tests above have asked it."""
    for module in pkgutil.walk_packages(nbcontainers.server.__path__, "nbcontainers.server."):
        importlib.import_module(module.name)
    ours = {kind for kind in _descendants(RequestHandler) if kind.__module__.startswith("nbcontainers.")}
    assert ours - {Handler} == set(ROUTES.values())


def _descendants(kind: type[object]) -> Iterator[type[object]]:
    for child in type.__subclasses__(kind):
        yield child
        yield from _descendants(child)
