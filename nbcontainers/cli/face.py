"""Where a command's output goes, and its input comes from: a terminal, a notebook cell, a test."""

import codecs
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import click

from nbcontainers.client import Client, connect
from nbcontainers.client.connect import lost
from nbcontainers.errors import Unavailable

Write = Callable[[bytes], object]


class _Writer:
    """Writes to one of this process's streams: bytes as they are, or as text where it takes nothing else.

    Args:
        name: ``stdout`` or ``stderr``, whatever that is at the time.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces

    def __call__(self, data: bytes) -> None:
        stream = getattr(sys, self._name)
        raw = getattr(stream, "buffer", None)
        if raw is None:
            stream.write(self._decoder.decode(data))
        else:
            stream.flush()
            raw.write(data)
        stream.flush()


_stdout = _Writer("stdout")


class LayerProgress(Protocol):
    """Shows layers on their way to or from a registry."""

    def __call__(self, message: dict[str, Any]) -> object:
        """Take a message of Docker's stream."""

    def close(self) -> None:
        """Show the end of it."""


@dataclass(slots=True, kw_only=True)
class Face:
    """One place that commands are given.

    Args:
        url: The engine, as ``connect`` takes it; None for this user's own.
        stdin: What the command's container reads, or None for nothing.
        out: Takes a container's standard output.
        err: Takes its standard error, and remarks.
        own_stdin: Where ``stdin`` is None, what is wanted is read from this process's standard input.
        takes_signals: Whether this process is there for one command, so that its signals may be meant for a container.
        may_start: Whether this user's engine is started when none runs.
        meanwhile: What a command that looks on is to look on at: a cell; None: it goes on until it is interrupted.
        keep: Puts a value into a variable, where there are variables.
        build_events: Takes the messages of a build as they come; by default they are printed.
        layer_progress: Makes what shows a pull or a push; by default bars at a terminal, and lines elsewhere.
    """

    url: str | None = None
    stdin: bytes | None = None
    out: Write = field(default=_stdout)
    err: Write = field(default=_Writer("stderr"))
    own_stdin: bool = False
    takes_signals: bool = False
    may_start: bool = True
    meanwhile: Callable[[], object] | None = None
    keep: Callable[[str, object], object] | None = None
    build_events: Callable[[dict[str, Any]], object] | None = None
    layer_progress: Callable[[], LayerProgress] | None = None
    _client: Client | None = field(default=None, repr=False)

    @property
    def client(self) -> Client:
        """The engine, connected to when it is first needed."""
        if self._client is None:
            self._client = connect(self.url, start=self.may_start)
        return self._client

    def binary(self) -> Write:
        """Return what takes an archive as it is.

        Raises:
            click.UsageError: Output is shown to people.
        """
        if self.out is not _stdout:
            return self.out
        raw = getattr(sys.stdout, "buffer", None)
        if raw is None or sys.stdout.isatty():
            raise click.UsageError("cowardly refusing to write an archive to a terminal: give a file, or redirect")
        return cast(Write, raw.write)

    def use(self, url: str | None) -> None:
        """Speak to another engine from now on."""
        client = connect(url, start=self.may_start)
        if self._client is not None:
            self._client.close()
        self._client, self.url = client, url

    def lost(self, error: Exception) -> Unavailable:
        """Say that the engine is gone; who asks again looks for it anew, and may start it.

        Args:
            error: One of ``LOST``.
        """
        if self._client is None:
            return lost(self.url or "the engine", error)
        client, self._client = self._client, None
        client.close()
        return lost(client.address, error)
