"""The routes. Each handler's every method is for authenticated users only; ``tests/server`` proves it for each.

``@authenticated`` asks for Jupyter's token or cookie, ``@authorized`` Jupyter's authorizer, about the resource
``nbcontainers``.
"""

import asyncio
import json
from dataclasses import asdict
from http import HTTPStatus

from docker.errors import DockerException
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.iostream import StreamClosedError
from tornado.web import authenticated

from nbcontainers.errors import Conflict, Unavailable
from nbcontainers.server.changes import Changes
from nbcontainers.server.engine import Engine

PREFIX = "nbcontainers"
# Proxies take a silent connection for a dead one; many wait no longer than 60 seconds.
_HEARTBEAT_SECONDS = 20
_HEARTBEAT = ": still here\n\n"


class Handler(APIHandler):
    """A handler that knows the engine."""

    auth_resource = PREFIX

    def initialize(self, engine: Engine) -> None:
        """Take the engine; called by Tornado for each request."""
        self.engine = engine

    def refuse(self, status: HTTPStatus, error: Exception) -> None:
        """Answer with an error's own words."""
        self.set_status(status)
        self.finish(json.dumps({"message": str(error)}))


class ContainersHandler(Handler):
    """``/nbcontainers/containers``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell whether an engine answers, and its containers: an ``Overview``."""
        self.finish(json.dumps(asdict(await self.engine.overview())))


class EngineHandler(Handler):
    """``/nbcontainers/engine``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Start this user's engine, and answer when it answers."""
        try:
            await self.engine.start()
        except Conflict as error:
            self.refuse(HTTPStatus.CONFLICT, error)
        except (Unavailable, OSError) as error:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, error)
        else:
            self.set_status(HTTPStatus.NO_CONTENT)
            self.finish()


class EventsHandler(Handler):
    """``/nbcontainers/events``.

    Source: HTML Living Standard, § 9.2 Server-sent events.
    """

    _changes: Changes | None = None

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell each change as one event, until the engine ends or the client goes."""
        try:
            async with self.engine.changes() as changes:
                self._changes = changes
                await self._stream(changes)
        except (Unavailable, DockerException) as error:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, error)
        except StreamClosedError:
            return

    async def _stream(self, changes: Changes) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold events back to fill its buffer
        await self.flush()
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    change = await anext(changes)
            except TimeoutError:
                self.write(_HEARTBEAT)
            except StopAsyncIteration:
                return
            else:
                self.write(f"data: {json.dumps(asdict(change))}\n\n")
            await self.flush()

    def on_connection_close(self) -> None:
        """End the engine's stream with the client's; called by Tornado."""
        super().on_connection_close()
        if self._changes is not None:
            self._changes.close()


def routes(base_url: str, engine: Engine) -> list[tuple[str, type[Handler], dict[str, Engine]]]:
    """Return Tornado's routes."""
    handlers: dict[str, type[Handler]] = {
        "containers": ContainersHandler,
        "engine": EngineHandler,
        "events": EventsHandler,
    }
    return [(url_path_join(base_url, PREFIX, path), handler, {"engine": engine}) for path, handler in handlers.items()]
