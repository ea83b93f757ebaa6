"""The routes. Each handler's every method is for authenticated users only; ``tests/server`` proves it for each.

``@authenticated`` asks for Jupyter's token or cookie, ``@authorized`` Jupyter's authorizer, about the resource
``nbcontainers``.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, DockerException
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.iostream import StreamClosedError
from tornado.web import authenticated

from nbcontainers.client.connect import LOST
from nbcontainers.errors import Conflict, InvalidArgument, Unavailable
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

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Answer as the engine does where it refuses."""
        try:
            yield
        except InvalidArgument as error:
            self.refuse(HTTPStatus.BAD_REQUEST, error)
        except APIError as error:
            status = HTTPStatus(error.status_code or HTTPStatus.SERVICE_UNAVAILABLE)
            self.refuse(status, Exception(error.explanation or error))
        except (Unavailable, DockerException, *LOST) as error:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, error)


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


class ActionsHandler(Handler):
    """``/nbcontainers/actions``: its body is JSON, ``{"id": CONTAINER, "action": "stop"}``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Do something to a container, and answer when it is done."""
        asked: Any = self.get_json_body()
        with self.refusals():
            if not isinstance(asked, dict):
                raise InvalidArgument('the body must be JSON: {"id": CONTAINER, "action": ACTION}')
            await self.engine.act(str(asked.get("id", "")), str(asked.get("action", "")))
            self.set_status(HTTPStatus.NO_CONTENT)
            self.finish()


class LogsHandler(Handler):
    """``/nbcontainers/logs?id=CONTAINER``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell the last lines that a container has written, as text."""
        with self.refusals():
            lines = await self.engine.logs(self.get_query_argument("id"))
            self.finish(lines.decode(errors="replace"), set_content_type="text/plain; charset=utf-8")


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
        "actions": ActionsHandler,
        "containers": ContainersHandler,
        "engine": EngineHandler,
        "events": EventsHandler,
        "logs": LogsHandler,
    }
    return [(url_path_join(base_url, PREFIX, path), handler, {"engine": engine}) for path, handler in handlers.items()]
