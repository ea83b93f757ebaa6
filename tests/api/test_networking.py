"""From the body of a request for a network to the engine's types."""

import msgspec
import pytest

from nbcontainers import errors
from nbcontainers.api.networking import new_network
from nbcontainers.api.wire.networks import NetworkCreateRequest


def _ipv6(value: str) -> bool:
    body = {"Name": "x", "Options": {"com.docker.network.enable_ipv6": value}}
    return new_network(msgspec.convert(body, NetworkCreateRequest)).ipv6


def test_ipv6_as_an_option() -> None:
    assert _ipv6("true")
    assert not _ipv6("false")
    with pytest.raises(errors.InvalidArgument, match="invalid value 'maybe'"):
        _ipv6("maybe")
