"""An image as a card: name, size and what it runs, with the steps that it was made in."""

import html
from typing import Any

from docker import DockerClient

from nbcontainers.client.image import Image
from nbcontainers.client.units import human_bytes

_STYLE = "border:1px solid #999;border-radius:8px;padding:10px 14px;display:inline-block;min-width:24em;max-width:60em"


class ImageCard(Image):
    """An image that a cell has built; as text it is the image's id.

    Args:
        client: The engine.
        image: The image's id.
    """

    def __init__(self, client: DockerClient, image: str) -> None:
        super().__init__(client, image)
        self._history: list[dict[str, Any]] = client.api.history(image)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:right'>{human_bytes(step['Size']) if step['Size'] else ''}</td>"
            f"<td style='text-align:left'><code>{html.escape(step['CreatedBy'] or step['Comment'])}</code></td></tr>"
            for step in reversed(self._history)
        )
        facts = "".join(
            f"<div><b>{label}</b> <code>{html.escape(self._command(key))}</code></div>"
            for label, key in (
                ("entrypoint", "Entrypoint"),
                ("cmd", "Cmd"),
                ("workdir", "WorkingDir"),
                ("user", "User"),
            )
            if self.config.get(key)
        )
        steps = "1 step" if len(self._history) == 1 else f"{len(self._history)} steps"
        name = html.escape(", ".join(self.tags) or "<none>")
        return (
            f"<div style='{_STYLE}'><div style='font-size:115%'><b>{name}</b> <code>{self.id[7:19]}</code></div>"
            f"<div>{human_bytes(self.size_bytes)} in {self.layer_count}</div>{facts}"
            f"<details><summary>{steps}</summary><table>{rows}</table></details></div>"
        )

    def _command(self, key: str) -> str:
        value = self.config[key]
        return " ".join(value) if isinstance(value, list) else str(value)
