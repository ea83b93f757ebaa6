"""nbcontainers: containers for Jupyter, from the notebook cell down to the system calls.

The names below are loaded when they are first used (PEP 562), because the launcher, which starts every
container, imports this package too and must stay small.

Example:
    >>> import nbcontainers
    >>> client = nbcontainers.connect()
    >>> client.containers.run("host", ["echo", "hello"])
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.client import connect, doctor
    from nbcontainers.client.capturing import capture
    from nbcontainers.client.image import image
    from nbcontainers.client.topology import network
    from nbcontainers.client.volumes import volume
    from nbcontainers.notebook import load_ipython_extension

__version__ = "0.1.0"
__all__ = ["__version__", "capture", "connect", "doctor", "image", "load_ipython_extension", "network", "volume"]

_HOMES = {
    "capture": "nbcontainers.client.capturing",
    "connect": "nbcontainers.client",
    "doctor": "nbcontainers.client",
    "image": "nbcontainers.client.image",
    "load_ipython_extension": "nbcontainers.notebook",
    "network": "nbcontainers.client.topology",
    "volume": "nbcontainers.client.volumes",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nbcontainers' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
