"""A server extension with the fault that ``test_authentication`` looks for."""

from typing import Any

from jupyter_server.base.handlers import APIHandler


class UnprotectedHandler(APIHandler):
    def get(self) -> None:
        self.finish("{}")

    def post(self) -> None:
        self.finish("{}")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.web_app.add_handlers(".*$", [("/unprotected", UnprotectedHandler)])
