"""The Jupyter Server extension behind JupyterLab's panel: the engine's containers, over Jupyter's own HTTP server.

Requests enter under ``/nbcontainers/…`` with Jupyter's token or cookie; only the Docker Engine API leaves, through
``nbcontainers.client``. Nothing here waits on the server's event loop: the engine is asked in threads.

========  ============================  =======================================================================
``GET``   ``/nbcontainers/containers``  whether an engine answers, and its containers
``GET``   ``/nbcontainers/events``      what happens to containers, as server-sent events, until the client goes
``GET``   ``/nbcontainers/logs``        the last lines that a container has written
``POST``  ``/nbcontainers/actions``     start, stop, unpause or remove a container
``POST``  ``/nbcontainers/engine``      start this user's engine
========  ============================  =======================================================================

Reading order: ``settings``, ``engine``, ``changes``, ``handlers``.

Example:
    >>> jupyter lab --ContainersServer.start_engine=True
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "nbcontainers.server"}]


def _load_jupyter_server_extension(app: "ServerApp") -> None:
    """Add the routes; called by Jupyter Server."""
    from nbcontainers.server.engine import Engine
    from nbcontainers.server.handlers import routes
    from nbcontainers.server.settings import ContainersServer

    settings = ContainersServer(parent=app)
    engine = Engine(settings.engine or None, may_start=settings.start_engine)
    app.web_app.add_handlers(".*$", routes(app.web_app.settings["base_url"], engine))
    app.log.info("nbcontainers: the containers of %s", engine.address)
