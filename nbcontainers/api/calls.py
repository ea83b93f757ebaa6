"""One request as a handler sees it: the engine, the path's parameters, and the query's values with their types."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from nbcontainers import errors
from nbcontainers.moments import parse_ns

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine

MAXIMUM_BODY_BYTES = 8 << 20
_FALSE = frozenset(("", "0", "no", "false", "none"))
_INT64 = range(-(1 << 63), 1 << 63)

T = TypeVar("T")
Filters = dict[str, list[str]]


class Call:
    """One request.

    Attributes:
        afterwards: What is to be done when the answer has been sent, so that the client does not wait for it.

    Args:
        engine: The engine that is asked.
        request: The HTTP request, for its body and its connection.
        parameters: What the path holds in place of ``{…}``.
        version: The API version in the path, such as ``(1, 47)``.
    """

    __slots__ = ("afterwards", "engine", "parameters", "query", "request", "version")

    def __init__(
        self, engine: "Engine", request: web.BaseRequest, parameters: dict[str, str], version: tuple[int, int]
    ) -> None:
        self.engine = engine
        self.afterwards: Callable[[], None] | None = None
        self.request = request
        self.parameters = parameters
        self.query = request.rel_url.query
        self.version = version

    def text(self, name: str) -> str:
        """Return a query value, empty when it was not given."""
        return self.query.get(name, "")

    def texts(self, name: str) -> list[str]:
        """Return all values of a query name that may be repeated."""
        return list(self.query.getall(name, []))

    def flag(self, name: str, otherwise: bool = False) -> bool:
        """Return a query value as Docker reads booleans: anything but nothing, 0, no, false and none is true."""
        value = self.query.get(name)
        return otherwise if value is None else value.strip().lower() not in _FALSE

    def integer(self, name: str, otherwise: int = 0) -> int:
        """Return a query value as a whole number.

        Raises:
            errors.InvalidArgument: It is none, or does not fit 64 bits.
        """
        found = self.optional_integer(name)
        return otherwise if found is None else found

    def optional_integer(self, name: str) -> int | None:
        """Return a query value as a whole number, or None when it was not given."""
        value = self.query.get(name)
        if value is None or value == "":
            return None
        try:
            number = int(value)
        except ValueError:
            raise errors.InvalidArgument(f"invalid value '{value}' for {name}: a whole number is wanted") from None
        if number not in _INT64:
            raise errors.InvalidArgument(f"invalid value '{value}' for {name}: out of range")
        return number

    def time_ns(self, name: str) -> int | None:
        """Return a query value that is a time as nanoseconds since the epoch, or None when it was not given."""
        value = self.query.get(name)
        if not value:
            return None
        return parse_ns(value, datetime.now(UTC))

    def filters(self, known: frozenset[str]) -> Filters:
        """Return the query's ``filters``: both of Docker's forms, ``{"a": ["b"]}`` and ``{"a": {"b": true}}``.

        Args:
            known: The filters that the endpoint knows.

        Raises:
            errors.InvalidArgument: They are no JSON of these forms, or a filter is not known.
        """
        text = self.query.get("filters")
        if not text:
            return {}
        given = decode(text.encode(), dict[str, list[str] | dict[str, bool] | None], "filters")
        for name in given:
            if name not in known:
                raise errors.InvalidArgument(f"invalid filter '{name}': known are {', '.join(sorted(known))}")
        return {name: list(values or ()) for name, values in given.items() if values}

    def string_map(self, name: str) -> dict[str, str | None]:
        """Return a query value that is a JSON object of texts, such as build arguments."""
        text = self.query.get(name)
        return decode(text.encode(), dict[str, str | None], name) if text and text != "null" else {}

    async def body(self, kind: type[T]) -> T:
        """Return the request's JSON body as a wire type.

        Raises:
            errors.InvalidArgument: It is no such JSON; the message says where.
        """
        return decode(await self.raw_body(), kind, "the request's body")

    async def raw_body(self) -> bytes:
        """Return the request's body, which must be short."""
        body = bytearray()
        async for chunk in self.request.content.iter_any():
            body += chunk
            if len(body) > MAXIMUM_BODY_BYTES:
                raise errors.InvalidArgument(f"the request's body is longer than '{MAXIMUM_BODY_BYTES}' bytes")
        return bytes(body)


def decode(text: bytes, kind: type[T], what: str) -> T:
    """Decode JSON into a type.

    Raises:
        errors.InvalidArgument: It does not fit; the message names ``what`` and the place in it.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise errors.InvalidArgument(f"invalid JSON in {what}: {str(error)[:1].lower()}{str(error)[1:]}") from error
